use schemas::sync::{Approval, Finished, Parked, Sync, parked};

use super::{DEBOUNCE_MS, Job, Plan, Rules, Situation, Urgency, deletions, newly_held, parking, plan};
use crate::fixture::{Organization, PARTITIONS};

const ID: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";
const NOW_MS: i64 = 1_000_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

struct Case {
    organization: Organization,
    sync: Sync,
    partitions: i32,
    unsynced_for_ms: i64,
    urgency: Urgency,
}

impl Case {
    fn of(organization: Organization) -> Self {
        Self {
            organization,
            sync: Sync::default(),
            partitions: PARTITIONS,
            unsynced_for_ms: 0,
            urgency: Urgency::Patient,
        }
    }

    fn whole() -> Self {
        Self::of(Organization::whole(ID, "nimbus"))
    }

    /// JupiterOne holds the organization as it is now, since then.
    fn finished_ago(mut self, ago_ms: i64) -> Self {
        let Plan::Sync(job) = self.plan() else { panic!("no job to be finished") };
        self.sync.finished = Some(Finished {
            job_id: "job".to_owned(),
            revision: job.revision,
            ended_ts_ms: NOW_MS - ago_ms,
            counts: job.snapshot.counts,
            partial_types: job.partial_types,
            incomplete: job.incomplete,
            held: job.snapshot.held,
            samples: job.snapshot.samples,
        });
        self
    }

    fn plan(&self) -> Plan {
        let rules = Rules { full_sync_interval_ms: DAY_MS, max_deleted_fraction: 0.3, max_deleted_count: 20 };
        plan(&Situation {
            organization_id: ID,
            state: &self.organization.state(),
            sync: &self.sync,
            rules: &rules,
            partition: self.organization.partition(),
            partitions: self.partitions,
            unsynced_since_ms: NOW_MS - self.unsynced_for_ms,
            now_ms: NOW_MS,
            urgency: self.urgency,
        })
    }

    fn job(&self) -> Job {
        match self.plan() {
            Plan::Sync(job) => job,
            other => panic!("no job but {other:?}"),
        }
    }

    fn refusal(&self) -> String {
        match self.plan() {
            Plan::Refuse(reason) => reason,
            other => panic!("no refusal but {other:?}"),
        }
    }
}

#[test]
fn the_first_job_is_of_all_there_is() {
    let job = Case::whole().job();
    assert_eq!((job.cause, job.revision), ("first", Organization::whole(ID, "nimbus").revision()));
    assert_eq!(job.snapshot.counts["anthropic_user"], 2);
    assert_eq!((job.partial_types, job.incomplete), (Vec::new(), Vec::new()));
}

#[test]
fn an_equal_revision_is_nothing_until_the_full_sync_interval_is_over_or_a_person_asks() {
    assert_eq!(Case::whole().finished_ago(DAY_MS - 1).plan(), Plan::Nothing);
    assert_eq!(Case::whole().finished_ago(DAY_MS).job().cause, "full sync interval");
    let now = Case { urgency: Urgency::Now, ..Case::whole().finished_ago(0) };
    assert_eq!(now.plan(), Plan::Nothing);
    let forced = Case { urgency: Urgency::Forced, ..Case::whole().finished_ago(0) };
    assert_eq!(forced.job().cause, "asked for");
}

#[test]
fn a_change_waits_for_its_poll_to_end_but_not_beyond_the_debounce() {
    let mut case = Case::whole().finished_ago(0);
    case.organization.begin_poll();
    case.organization.user("eve");
    assert_eq!(case.plan(), Plan::Wait);
    case.unsynced_for_ms = DEBOUNCE_MS - 1;
    assert_eq!(case.plan(), Plan::Wait);
    case.unsynced_for_ms = DEBOUNCE_MS;
    assert_eq!(case.job().cause, "changes");
    case.unsynced_for_ms = 0;
    case.urgency = Urgency::Now;
    assert_eq!(case.job().cause, "changes");
    case.urgency = Urgency::Patient;
    case.organization.end_poll();
    assert_eq!(case.job().cause, "changes");
}

#[test]
fn nothing_is_uploaded_before_the_organization_was_whole_and_without_its_account() {
    let mut organization = Organization::empty(ID, "nimbus");
    organization.account();
    let case = Case { unsynced_for_ms: DEBOUNCE_MS, urgency: Urgency::Forced, ..Case::of(organization) };
    assert_eq!(case.plan(), Plan::Wait);
    let mut case = Case::whole();
    case.organization.remove(&format!("anthropic_account:{ID}"));
    assert!(case.refusal().contains("anthropic_account"));
}

#[test]
fn collections_that_were_never_whole_make_the_types_they_own_partial() {
    let mut organization = Organization::empty(ID, "nimbus");
    organization.account();
    organization.user("ada");
    organization.list("organization");
    organization.list("users");
    organization.end_poll();
    let job = Case::of(organization).job();
    assert_eq!(
        job.partial_types,
        [
            "anthropic_workspace",
            "anthropic_api_key",
            "anthropic_account_has_workspace",
            "anthropic_user_assigned_workspace",
            "anthropic_user_created_api_key",
            "anthropic_workspace_has_api_key",
        ]
    );
    assert_eq!(job.incomplete, ["api_keys: not listed yet", "workspaces: not listed yet"]);
}

#[test]
fn members_that_were_never_whole_are_partial_for_workspaces_that_are_not_archived() {
    let mut case = Case::whole();
    case.organization.workspace("closed", Some(1));
    assert_eq!(case.job().partial_types, Vec::<String>::new());
    case.organization.workspace("secret", None);
    case.organization.fail("members/secret", "403 permission_error");
    let job = case.job();
    assert_eq!(job.partial_types, ["anthropic_user_assigned_workspace"]);
    assert_eq!(job.incomplete, ["members/secret: 403 permission_error"]);
}

#[test]
fn a_collection_that_was_whole_once_is_frozen_and_not_partial() {
    let mut case = Case::whole();
    case.organization.fail("members/research", "403 permission_error");
    let job = case.job();
    assert_eq!(job.partial_types, Vec::<String>::new());
    assert_eq!(job.incomplete, ["members/research: 403 permission_error"]);
}

#[test]
fn a_relationship_withheld_for_an_end_that_was_never_listed_is_partial() {
    let mut organization = Organization::empty(ID, "nimbus");
    organization.account();
    organization.workspace("research", None);
    organization.api_key("ci", "research", "ada");
    let created = "anthropic_user:ada|created|anthropic_api_key:ci";
    organization.withhold(created, "anthropic_user:ada");
    for collection in ["organization", "workspaces", "api_keys", "members/research"] {
        organization.list(collection);
    }
    let case = Case { urgency: Urgency::Now, ..Case::of(organization) };
    let expected = ["anthropic_user", "anthropic_account_has_user", "anthropic_user_created_api_key"];
    assert_eq!(case.job().partial_types, expected);
}

#[test]
fn a_gap_that_closes_without_a_change_makes_one_job() {
    let mut organization = Organization::empty(ID, "nimbus");
    organization.account();
    for collection in ["organization", "users", "workspaces"] {
        organization.list(collection);
    }
    organization.end_poll();
    let mut case = Case::of(organization).finished_ago(0);
    assert_eq!(case.plan(), Plan::Nothing);
    case.organization.list("api_keys");
    assert_eq!(case.job().cause, "a collection became whole");
}

#[test]
fn the_guard_refuses_a_job_that_deletes_more_of_a_type_than_part_and_count_allow() {
    let with_users = |count: usize| {
        let mut organization = Organization::whole(ID, "nimbus");
        (0..count).for_each(|number| organization.user(&format!("user{number}")));
        organization
    };
    let leave = |case: &mut Case, numbers: std::ops::Range<usize>| {
        for number in numbers {
            let user = format!("anthropic_user:user{number}");
            case.organization.remove(&format!("anthropic_account:{ID}|has|{user}"));
            case.organization.remove(&user);
        }
    };
    let mut few = Case::of(with_users(30)).finished_ago(0);
    leave(&mut few, 0..20);
    assert_eq!(few.job().cause, "changes");
    leave(&mut few, 20..21);
    let refusal = few.refusal();
    assert!(refusal.contains("21 of 32 anthropic_user"), "{refusal}");
    assert!(refusal.contains("max_deleted_count"), "{refusal}");
    let mut many = Case::of(with_users(98)).finished_ago(0);
    leave(&mut many, 0..30);
    assert_eq!(many.job().cause, "changes");
}

#[test]
fn an_organization_in_the_wrong_place_or_with_records_missing_is_refused_with_the_way_out() {
    let grown = Case { partitions: PARTITIONS + 1, ..Case::whole() };
    assert!(grown.refusal().contains("kafka.topic_prefix"));
}

fn with_users(count: usize) -> Organization {
    let mut organization = Organization::whole(ID, "nimbus");
    (0..count).for_each(|number| organization.user(&format!("user{number}")));
    organization
}

fn leave(organization: &mut Organization, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let user = format!("anthropic_user:user{number}");
        organization.remove(&format!("anthropic_account:{ID}|has|{user}"));
        organization.remove(&user);
    }
}

#[test]
fn as_many_that_come_as_go_do_not_hide_those_that_go() {
    let mut case = Case::of(with_users(60)).finished_ago(0);
    leave(&mut case.organization, 0..25);
    (100..125).for_each(|number| case.organization.user(&format!("user{number}")));
    assert!(case.refusal().contains("25 of 62 anthropic_user"), "{}", case.refusal());
    // Of more than are remembered it is an estimate.
    let mut many = Case::of(with_users(2_000)).finished_ago(0);
    leave(&mut many.organization, 0..1_000);
    (2_000..3_000).for_each(|number| many.organization.user(&format!("user{number}")));
    assert!(many.refusal().contains("of 2002 anthropic_user"), "{}", many.refusal());
}

#[test]
fn an_approval_releases_no_more_than_was_seen_and_only_against_the_same_finished_job() {
    let mut case = Case::of(with_users(60)).finished_ago(0);
    leave(&mut case.organization, 0..25);
    case.sync.organization_name = "nimbus".to_owned();
    let revision = case.organization.revision();
    let command = format!("sink approve --organization nimbus --revision {revision} --by");
    assert!(case.refusal().contains(&command), "{}", case.refusal());
    let approval = Approval {
        revision,
        finished_job_id: Some("job".to_owned()),
        deletions: deletions(&case.organization.state(), &case.sync),
        takes_target: false,
        by: "ada".to_owned(),
        why: None,
        approved_ts_ms: NOW_MS,
    };
    let seen = [("anthropic_account_has_user".to_owned(), 25), ("anthropic_user".to_owned(), 25)];
    assert_eq!(approval.deletions, seen.into());
    case.sync.approval = Some(Approval { finished_job_id: Some("another".to_owned()), ..approval.clone() });
    assert!(case.refusal().contains("25 of 62"));
    case.sync.approval = Some(approval);
    assert_eq!(case.job().cause, "changes");
    leave(&mut case.organization, 25..26);
    assert!(case.refusal().contains("26 of 62"), "one more than was seen");
}

#[test]
fn what_was_held_and_is_no_more_is_explained() {
    let mut case = Case::of(with_users(60));
    (0..40).for_each(|number| case.organization.hold(&format!("anthropic_user:user{number}")));
    let mut case = case.finished_ago(0);
    assert_eq!(case.sync.finished.as_ref().expect("finished").held["anthropic_account_has_user"], 40);
    assert_eq!(newly_held(&case.organization.state(), &case.sync), None);
    leave(&mut case.organization, 0..30);
    assert_eq!(case.job().cause, "changes", "thirty were approved");
    leave(&mut case.organization, 40..60);
    assert_eq!(case.job().cause, "changes", "twenty more are within the limits");
    let user = "anthropic_user:ada";
    case.organization.remove(&format!("anthropic_account:{ID}|has|{user}"));
    case.organization.remove(user);
    assert!(case.refusal().contains("51 of 62 anthropic_user"), "{}", case.refusal());
}

#[test]
fn a_hold_that_no_job_saw_is_recorded() {
    let mut case = Case::of(with_users(60)).finished_ago(0);
    case.organization.hold("anthropic_user:user0");
    assert_eq!(case.plan(), Plan::Nothing, "a hold is no change");
    let held = newly_held(&case.organization.state(), &case.sync).expect("it is new");
    assert_eq!((held["anthropic_user"], held["anthropic_account_has_user"]), (1, 1));
}

#[test]
fn a_graph_whose_revisions_began_anew_is_refused_until_a_person_says_so() {
    let mut case = Case::whole().finished_ago(0);
    case.sync.finished.as_mut().expect("finished").revision += 1;
    assert!(case.refusal().contains("made anew"), "{}", case.refusal());
    let mut equal = Case::whole().finished_ago(0);
    equal.sync.finished.as_mut().expect("finished").counts.insert("anthropic_user".to_owned(), 3);
    assert!(equal.refusal().contains("made anew"), "another graph of the same revision");
    case.sync.approval = Some(Approval {
        revision: case.organization.revision(),
        finished_job_id: Some("job".to_owned()),
        deletions: [].into(),
        takes_target: false,
        by: "ada".to_owned(),
        why: None,
        approved_ts_ms: NOW_MS,
    });
    assert_eq!(case.job().cause, "changes");
    equal.urgency = Urgency::Forced;
    assert_eq!(equal.job().cause, "changes");
}

#[test]
fn a_parked_object_is_left_out_and_its_types_are_partial_until_it_changes_or_all_is_tried() {
    let mut case = Case::whole().finished_ago(0);
    let refused = |key: &str, state: &str| Parked {
        element_key: key.to_owned(),
        element_type: "anthropic_user".to_owned(),
        state: state.to_owned(),
        ..Parked::default()
    };
    case.sync.parked =
        vec![refused("anthropic_user:ada", parked::PARKED), refused("anthropic_user:bob", parked::STRIPPED)];
    let types = [
        "anthropic_user",
        "anthropic_account_has_user",
        "anthropic_user_assigned_workspace",
        "anthropic_user_created_api_key",
    ];
    let finished = case.sync.finished.as_mut().expect("finished");
    *finished.counts.get_mut("anthropic_user").expect("users") -= 1;
    finished.partial_types = types.map(str::to_owned).into();
    assert_eq!(case.plan(), Plan::Nothing, "nothing changed");
    case.organization.user("eve");
    let job = case.job();
    assert_eq!((job.parked.len(), job.partial_types), (2, types.map(str::to_owned).into()));
    case.organization.change("anthropic_user:ada");
    let job = case.job();
    assert_eq!((job.parked.len(), job.partial_types), (1, Vec::new()), "bob alone, who is uploaded");
    case.sync.finished.as_mut().expect("finished").ended_ts_ms = NOW_MS - DAY_MS;
    case.sync.finished.as_mut().expect("finished").revision = case.organization.revision();
    *case.sync.finished.as_mut().expect("finished").counts.get_mut("anthropic_account").expect("one") += 2;
    let job = case.job();
    assert_eq!((job.cause, job.parked.len()), ("full sync interval", 0));
}

#[test]
fn how_many_refused_objects_are_too_many_depends_on_how_many_there_are() {
    assert_eq!([0, 40, 400, 10_000].map(parking::most_refused), [5, 5, 40, 100]);
}

#[test]
fn who_was_refused_before_is_refused_since_then() {
    let refused = |key: &str, since_ts_ms: i64| Parked {
        element_key: key.to_owned(),
        since_ts_ms,
        ..Parked::default()
    };
    let before = [refused("a", 1), refused("b", 1), refused("gone", 1)];
    let joined = parking::joined(&before, &before[1..2], vec![refused("a", 9), refused("c", 9)]);
    let since: Vec<_> = joined.iter().map(|it| (it.element_key.as_str(), it.since_ts_ms)).collect();
    assert_eq!(since, [("a", 1), ("b", 1), ("c", 9)]);
}
