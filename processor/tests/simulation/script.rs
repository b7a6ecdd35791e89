//! From steps to the raw partition that the producer would have written, with what each record should lead to.

use std::{collections::BTreeMap, rc::Rc};

use graph::mapping::Context;
use schemas::{
    codec::encode,
    collection::{Collection, DECISION, MEMBERS, POLL},
    raw::{Decision, ListingOutcome, Manifest, Mark, MarkKind, Outcome, RawBody, RawRecord, Trigger},
};
use service::kafka::partition::Record;

use crate::{
    records::{collection, line, listed, mapped, record},
    reference::{Event, Listed, Organization},
    step::{Choice, Fault, Spoil, Step},
    world::World,
};

/// A raw record as it is in its partition.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) offset: i64,
    pub(crate) key: String,
    /// Or bytes that are none.
    pub(crate) raw: Result<RawRecord, Vec<u8>>,
}

impl Entry {
    pub(crate) fn value(&self) -> Vec<u8> {
        self.raw.as_ref().map_or_else(Clone::clone, encode)
    }

    /// As the broker hands it out.
    pub(crate) fn as_record(&self) -> Record {
        let value = self.value();
        Record {
            offset: self.offset,
            key: Some(self.key.clone().into_bytes()),
            value: Some(value),
            headers: Vec::new(),
        }
    }
}

/// What a raw record should lead to.
#[derive(Debug)]
pub(crate) struct Happening {
    pub(crate) offset: i64,
    pub(crate) event: Event,
    pub(crate) before: Rc<Organization>,
    pub(crate) after: Rc<Organization>,
    /// The state when a listing was requested.
    pub(crate) truth: Option<World>,
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) entries: Vec<Entry>,
    pub(crate) happenings: Vec<Happening>,
    lives: Vec<Life>,
    next_offset: i64,
    next_id: u32,
}

#[derive(Debug)]
struct Life {
    /// The organization as it was after each step; the newest last.
    worlds: Vec<World>,
    expected: Rc<Organization>,
    poll_id: Option<String>,
    listing_ids: Vec<String>,
}

impl Script {
    /// The partition of that many organizations after these steps.
    pub(crate) fn of(organizations: u8, steps: &[Step]) -> Self {
        let mut script = Self::default();
        for number in 0..organizations {
            let id = format!("org{number}");
            script.lives.push(Life {
                worlds: vec![World::new(&id)],
                expected: Rc::new(Organization::new(&id, &format!("name{number}"))),
                poll_id: None,
                listing_ids: Vec::new(),
            });
        }
        for step in steps {
            script.take(step);
        }
        script
    }

    /// What should be known of each organization once everything below the offset is read.
    pub(crate) fn expected_at(&self, offset: i64) -> BTreeMap<&str, &Organization> {
        let happened = self.happenings.iter().take_while(|happening| happening.offset < offset);
        happened.map(|happening| (happening.after.id.as_str(), happening.after.as_ref())).collect()
    }

    /// The offset after the last record.
    pub(crate) fn end(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.offset + 1)
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Live(organization, mutations) => {
                let life = self.life(*organization);
                let mut world = life.world(0).clone();
                for mutation in mutations {
                    world.mutate(mutation);
                }
                life.worlds.push(world);
            }
            Step::List(listing) => {
                let world = self.life(listing.organization).world(listing.age).clone();
                let collection = collection(listing.collection);
                let within = listing.within.as_ref();
                self.list(listing.organization, &world, &collection, listing.fault, within);
            }
            Step::Poll(organization, faults) => self.poll(*organization, faults),
            Step::Mark { organization, starts, failed } => {
                let failed = failed.map(|number| line(&collection(number), Fault::Failed));
                self.mark(*organization, *starts, failed.into_iter().collect());
            }
            Step::Decide(organization, choice) => self.decide(*organization, choice),
            Step::Garbage(organization, number) => {
                let key = format!("{}/{}/garbage", self.life(*organization).id(), collection(*number));
                self.write(key, Err(vec![0xff]));
            }
        }
        // Each transaction's marker takes an offset.
        self.next_offset += 1;
    }

    fn poll(&mut self, organization: u8, faults: &[(u8, Fault)]) {
        self.mark(organization, true, Vec::new());
        let world = self.life(organization).world(0).clone();
        let fault_of = |number: usize| {
            let fault = faults.iter().find(|(at, _)| usize::from(*at) == number);
            fault.map_or(Fault::None, |(_, fault)| *fault)
        };
        let mut lines = Vec::new();
        let own = [Collection::Organization, Collection::Users, Collection::Workspaces, Collection::ApiKeys];
        let workspaces = fault_of(2);
        let members: Vec<_> = match workspaces {
            Fault::Failed | Fault::Gone => Vec::new(),
            _ => world.members_of(!matches!(workspaces, Fault::WithoutArchived)).collect(),
        };
        for (number, collection) in own.iter().chain(&members).enumerate() {
            let fault = fault_of(number);
            self.list(organization, &world, collection, fault, None);
            lines.push(line(collection, fault));
        }
        if matches!(workspaces, Fault::Failed | Fault::Gone) {
            lines.push(ListingOutcome {
                collection: MEMBERS.to_owned(),
                outcome: Outcome::Skipped,
                listing_id: None,
                reason: Some("the workspaces could not be listed".to_owned()),
                http_status: None,
                request_id: None,
            });
        }
        self.mark(organization, false, lines);
    }

    fn list(
        &mut self,
        organization: u8,
        world: &World,
        collection: &Collection,
        fault: Fault,
        within: Option<&Choice>,
    ) {
        if matches!(fault, Fault::Failed | Fault::Gone) {
            return;
        }
        let with_archived = !matches!(fault, Fault::WithoutArchived);
        let resources = world.resources(collection, with_archived);
        let listing_id = self.id("listing");
        let parameters = world.parameters(collection, with_archived);
        let manifest = self.manifest(world, resources.len(), parameters);
        let life = self.life(organization);
        life.listing_ids.push(listing_id.clone());
        let last = RawRecord {
            poll_id: life.poll_id.clone(),
            listing_id: Some(listing_id),
            ..record(&life.expected, &collection.to_string(), RawBody::Manifest(manifest.clone()))
        };
        let of_resource = |it| RawRecord { body: RawBody::Resource(it), ..last.clone() };
        let mut records: Vec<RawRecord> = resources.into_iter().map(of_resource).collect();
        let mut listed = listed(world, collection, &last, manifest);
        match fault {
            Fault::Missing(position) if !records.is_empty() => {
                records.remove(usize::from(position) % records.len());
                listed.damaged = true;
            }
            Fault::Twice(position) if !records.is_empty() => {
                let position = usize::from(position) % records.len();
                records.insert(position, records[position].clone());
                listed.damaged = true;
            }
            _ => {}
        }
        records.push(last);
        let mut spoiled = None;
        if let Fault::Spoiled(position, spoil) = fault {
            let position = usize::from(position) % records.len();
            spoiled = Some((position, spoil));
            listed.damaged = true;
        }
        self.write_listing(organization, &records, listed, spoiled, within, world);
    }

    fn write_listing(
        &mut self,
        organization: u8,
        records: &[RawRecord],
        mut listed: Listed,
        spoiled: Option<(usize, Spoil)>,
        within: Option<&Choice>,
        world: &World,
    ) {
        let manifest = records.len() - 1;
        let context =
            Context::new(&world.organization_id, &listed.collection, &listed.manifest.configuration);
        let mut elements = BTreeMap::new();
        for (position, raw) in records.iter().enumerate() {
            if position == manifest.div_ceil(2)
                && let Some(choice) = within
            {
                self.decide(organization, choice);
            }
            let key = raw.key();
            let as_written = match spoiled {
                Some((at, spoil)) if at == position => spoil.spoil(raw),
                _ => {
                    let resource = raw.body.clone().resource();
                    for mut element in resource.iter().flat_map(|it| mapped(&context, it)) {
                        element.digest.clear();
                        elements.insert(element.key.clone(), element);
                    }
                    Ok(raw.clone())
                }
            };
            self.write(key, as_written);
        }
        // Without its manifest a listing is nothing.
        if spoiled.is_none_or(|(position, _)| position != manifest) {
            (listed.offset, listed.elements) = (self.next_offset - 1, elements);
            self.happen(organization, Event::Listing(Box::new(listed)), Some(world.clone()));
        }
    }

    fn mark(&mut self, organization: u8, starts: bool, outcomes: Vec<ListingOutcome>) {
        let poll_id = starts.then(|| self.id("poll"));
        let ts_ms = self.now();
        let life = self.life(organization);
        life.poll_id = poll_id.or(life.poll_id.take());
        let complete = outcomes.iter().all(|line| line.outcome == Outcome::Whole);
        let mark = Mark {
            kind: if starts { MarkKind::Start } else { MarkKind::End },
            trigger: Trigger::Interval,
            outcomes,
            complete,
            reason: None,
        };
        let poll_id = life.poll_id.clone();
        let record = RawRecord {
            poll_id: poll_id.clone(),
            observed_ts_ms: ts_ms,
            ..record(&life.expected, POLL, RawBody::Mark(mark.clone()))
        };
        let offset = self.write(record.key(), Ok(record));
        self.happen(organization, Event::Mark { mark, poll_id, ts_ms, offset }, None);
    }

    fn decide(&mut self, organization: u8, choice: &Choice) {
        let decided_ts_ms = self.now();
        let life = self.life(organization);
        let seen = choice.seen.and_then(|ago| life.listing_ids.iter().rev().nth(ago.into()).cloned());
        let held: Vec<&String> = life.expected.holds.keys().collect();
        let element = choice.element.map(|number| match held.get(usize::from(number)) {
            Some(key) => (*key).clone(),
            None => format!("anthropic_user:u{number}"),
        });
        let decision = Decision {
            kind: choice.kind.clone(),
            collection: choice.collection.map(|number| collection(number).to_string()),
            element_key: element,
            listing_id: seen,
            by: "a person".to_owned(),
            why: None,
            decided_ts_ms,
        };
        let record = record(&life.expected, DECISION, RawBody::Decision(decision.clone()));
        self.write(record.key(), Ok(record));
        self.happen(organization, Event::Decision(decision), None);
    }

    /// What the record before should lead to.
    fn happen(&mut self, organization: u8, event: Event, truth: Option<World>) {
        let offset = self.next_offset - 1;
        let life = self.life(organization);
        let before = Rc::clone(&life.expected);
        let mut after = before.as_ref().clone();
        after.apply(&event);
        life.expected = Rc::new(after);
        let after = Rc::clone(&life.expected);
        self.happenings.push(Happening { offset, event, before, after, truth });
    }

    fn write(&mut self, key: String, raw: Result<RawRecord, Vec<u8>>) -> i64 {
        let offset = self.next_offset;
        self.entries.push(Entry { offset, key, raw });
        self.next_offset += 1;
        offset
    }

    fn manifest(&self, world: &World, count: usize, parameters: BTreeMap<String, String>) -> Manifest {
        Manifest {
            count: i64::try_from(count).expect("few"),
            pages: 1,
            parameters,
            first_cursor: None,
            last_cursor: None,
            first_request_id: None,
            last_request_id: None,
            started_ts_ms: self.now(),
            ended_ts_ms: self.now() + 500,
            configuration: world.configuration.clone(),
        }
    }

    fn life(&mut self, organization: u8) -> &mut Life {
        let count = self.lives.len();
        &mut self.lives[usize::from(organization) % count]
    }

    fn id(&mut self, of: &str) -> String {
        self.next_id += 1;
        format!("{of}-{}", self.next_id)
    }

    fn now(&self) -> i64 {
        self.next_offset * 1000
    }
}

impl Life {
    fn id(&self) -> &str {
        &self.expected.id
    }

    fn world(&self, age: u8) -> &World {
        &self.worlds[self.worlds.len().saturating_sub(1 + usize::from(age))]
    }
}
