mod first_sync;
mod guard;
mod parking;
mod phase;

use std::collections::BTreeSet;

use schemas::sync::{Finished, Parked, Sync};

use super::{DEBOUNCE_MS, Decision, Job, Phase, Rules, Situation, Urgency, WaitsFor, full_sync_due_ms, next};
use crate::fixture::{Organization, PARTITIONS};

const ID: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";
const NOW_MS: i64 = 1_000_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const RULES: Rules = Rules {
    full_sync_interval_ms: DAY_MS,
    max_deleted_fraction: 0.3,
    max_deleted_count: 20,
    nhi_class: false,
};

struct Case {
    organization: Organization,
    sync: Sync,
    partitions: i32,
    previous: Option<Phase>,
    conflict: Option<&'static str>,
    has_turn: bool,
    urgency: Urgency,
    nhi_class: bool,
}

impl Case {
    fn of(organization: Organization) -> Self {
        Self {
            organization,
            sync: Sync::default(),
            partitions: PARTITIONS,
            previous: None,
            conflict: None,
            has_turn: true,
            urgency: Urgency::Patient,
            nhi_class: false,
        }
    }

    fn whole() -> Self {
        Self::of(Organization::whole(ID, "nimbus"))
    }

    /// JupiterOne holds the organization as it is now, since then.
    fn finished_ago(mut self, ago_ms: i64) -> Self {
        let job = self.job();
        self.sync.finished = Some(Finished {
            job_id: "job".to_owned(),
            revision: job.revision,
            ended_ts_ms: NOW_MS - ago_ms,
            counts: job.snapshot.all.counts,
            partial_types: job.partial_types,
            incomplete: job.incomplete,
            held: job.snapshot.held.counts,
            samples: job.snapshot.all.samples,
            held_samples: job.snapshot.held.samples,
            unwritten: 0,
            tried_all_ts_ms: NOW_MS - ago_ms,
            nhi_class: self.nhi_class.then_some(true),
        });
        self
    }

    fn phase(&self) -> Phase {
        self.next().phase
    }

    fn next(&self) -> Decision {
        self.with(|situation| next(self.previous.as_ref(), situation))
    }

    fn with<T>(&self, answer: impl FnOnce(&Situation<'_>) -> T) -> T {
        let rules = Rules { nhi_class: self.nhi_class, ..RULES };
        answer(&Situation {
            organization_id: ID,
            state: &self.organization.state(),
            sync: &self.sync,
            rules: &rules,
            partition: self.organization.partition(),
            partitions: self.partitions,
            conflict: self.conflict,
            has_turn: self.has_turn,
            now_ms: NOW_MS,
            urgency: self.urgency,
        })
    }

    fn job(&self) -> Job {
        let Decision { phase, job, .. } = self.next();
        job.unwrap_or_else(|| panic!("no job but {phase:?}"))
    }

    fn refusal(&self) -> String {
        match self.phase() {
            Phase::Paused { reason, retry: None } => reason,
            other => panic!("no refusal but {other:?}"),
        }
    }
}

#[test]
fn the_first_job_is_of_all_there_is() {
    let job = Case::whole().job();
    assert_eq!((job.cause, job.revision), ("first", Organization::whole(ID, "nimbus").revision()));
    assert_eq!(job.snapshot.all.counts["anthropic_user"], 2);
    assert_eq!((job.partial_types, job.incomplete), (Vec::new(), Vec::new()));
}

#[test]
fn an_equal_revision_is_nothing_until_the_full_sync_interval_is_over_or_a_person_asks() {
    let due_ms = full_sync_due_ms(ID, &RULES, 0);
    assert_eq!(Case::whole().finished_ago(due_ms - 1).phase(), Phase::Synced { until_ms: NOW_MS + 1 });
    assert_eq!(Case::whole().finished_ago(due_ms).job().cause, "full sync interval");
    let now = Case { urgency: Urgency::Now, ..Case::whole().finished_ago(0) };
    assert_eq!(now.phase().name(), "synced");
    let forced = Case { urgency: Urgency::Forced, ..Case::whole().finished_ago(0) };
    assert_eq!(forced.job().cause, "asked for");
}

#[test]
fn the_class_nhi_turned_on_or_off_leads_to_a_job_that_tries_all_again() {
    for nhi_class in [false, true] {
        let same = Case { nhi_class, ..Case::whole() }.finished_ago(0);
        assert_eq!(same.phase().name(), "synced", "{nhi_class}");
        let mut other = Case { nhi_class: !nhi_class, ..same };
        let key = other.organization.elements.keys().find(|key| key.starts_with("anthropic_api_key:"));
        let element_key = key.expect("a key").clone();
        let digest = other.organization.elements[&element_key].digest.clone();
        let kind = "anthropic_api_key".to_owned();
        let finished = other.sync.finished.as_mut().expect("finished");
        *finished.counts.get_mut(&kind).expect("a key") -= 1;
        other.sync.parked = vec![Parked { element_key, element_type: kind, digest, ..Parked::default() }];
        let job = other.job();
        assert_eq!((job.cause, job.parked), ("nhi_class changed", Vec::new()), "{nhi_class}");
    }
}

#[test]
fn full_syncs_of_many_organizations_are_spread_over_the_last_tenth_of_the_interval() {
    let due: BTreeSet<i64> =
        (0..300).map(|number| full_sync_due_ms(&format!("organization-{number}"), &RULES, 0)).collect();
    assert!(due.len() > 200, "{} different times", due.len());
    assert!(due.iter().all(|due_ms| (DAY_MS * 9 / 10..=DAY_MS).contains(due_ms)));
}

#[test]
fn a_job_that_ended_far_in_the_future_does_not_keep_the_next_one_away() {
    assert_eq!(
        Case::whole().finished_ago(-30 * 60 * 1000).phase().name(),
        "synced",
        "a clock may be a little ahead"
    );
    assert_eq!(Case::whole().finished_ago(-100 * DAY_MS).job().cause, "full sync interval");
}

#[test]
fn what_jupiterone_did_not_write_is_uploaded_again() {
    let mut case = Case::whole().finished_ago(0);
    case.sync.finished.as_mut().expect("finished").unwritten = 2;
    assert_eq!(case.job().cause, "objects were not written");
}

#[test]
fn a_change_waits_for_its_poll_to_end_but_not_beyond_the_debounce() {
    let mut case = Case::whole().finished_ago(0);
    case.organization.begin_poll();
    case.organization.user("eve");
    let waiting = |until_ms| Phase::Waiting(WaitsFor::Poll { until_ms });
    assert_eq!(case.phase(), waiting(NOW_MS + DEBOUNCE_MS));
    case.previous = Some(waiting(NOW_MS + 1));
    assert_eq!(case.phase(), waiting(NOW_MS + 1), "the bound stays");
    case.previous = Some(waiting(NOW_MS));
    assert_eq!(case.job().cause, "changes");
    case.previous = None;
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
    let case = Case { urgency: Urgency::Forced, ..Case::of(organization) };
    assert_eq!(case.phase(), Phase::Waiting(WaitsFor::Listing));
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
fn members_that_the_api_has_no_list_of_do_not_make_their_type_partial_for_ever() {
    let mut case = Case::whole();
    case.organization.workspace("default", None);
    assert_eq!(case.job().partial_types, ["anthropic_user_assigned_workspace"], "not asked for yet");
    case.organization.gone("members/default");
    let job = case.job();
    assert_eq!((job.partial_types, job.incomplete), (Vec::new(), Vec::new()));
    case.organization.workspace("secret", None);
    case.organization.fail("members/secret", "403 permission_error");
    assert_eq!(case.job().partial_types, ["anthropic_user_assigned_workspace"], "another that has one");
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
    assert_eq!(case.phase().name(), "synced");
    case.organization.list("api_keys");
    assert_eq!(case.job().cause, "a collection became whole");
}

#[test]
fn an_organization_in_the_wrong_place_or_with_records_missing_is_refused_with_the_way_out() {
    let grown = Case { partitions: PARTITIONS + 1, ..Case::whole() };
    assert!(grown.refusal().contains("kafka.topic_prefix"));
}

#[test]
fn members_that_are_listed_at_last_or_turn_out_to_have_no_list_make_one_job() {
    let frozen = || {
        let mut case = Case::whole();
        case.organization.workspace("secret", None);
        case.organization.fail("members/secret", "403 permission_error");
        let case = case.finished_ago(0);
        assert_eq!(case.phase().name(), "synced");
        case
    };
    let (mut listed, mut gone) = (frozen(), frozen());
    listed.organization.list("members/secret");
    gone.organization.gone("members/secret");
    for case in [listed, gone] {
        assert_eq!(case.job().cause, "a collection became whole");
    }
}
