//! The organization's life: seeded, one thing a step, on a clock of its own unless it is a demonstration.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, ToSpan};

use super::apply;
use super::dice::Dice;
use super::mutation::{Event, Mutation, MutationError};
use super::names;
use super::settings::Settings;
use super::truth::{Actor, ROLES, Truth, User, WORKSPACE_ROLES, instant};

/// Steps of a round of life, in which everything that can happen happens at least once.
pub const ROUND: usize = ENDINGS.len() + TURNS.len() + BEGINNINGS.len();

/// The fewest and the most minutes from one step to the next.
const MINUTES: (usize, usize) = (7, 60);

#[derive(Debug, Clone, Copy)]
enum Happening {
    Joins,
    Returns,
    Leaves,
    RoleChanges,
    IsRenamed,
    MembershipGiven,
    MembershipTaken,
    WorkspaceRoleChanges,
    WorkspaceMade,
    WorkspaceArchived,
    WorkspaceRenamed,
    WorkspaceTagged,
    WorkspaceVanishes,
    KeyMade,
    PersonalKeyMade,
    ServiceKeyMade,
    KeyDisabled,
    KeyEnabled,
    KeyArchived,
    KeyExpires,
    KeyVanishes,
    CreatorLeaves,
    OrganizationRenamed,
}

use Happening as H;

/// A round begins with endings, so that none of them ends what the round has begun: comparing the organization before
/// a round with that after it shows creations, updates and deletions of every kind.
const ENDINGS: [Happening; 6] = [
    H::Leaves,
    H::CreatorLeaves,
    H::MembershipTaken,
    H::MembershipTaken,
    // The last two are those of `Settings::vanishing`.
    H::WorkspaceVanishes,
    H::KeyVanishes,
];

const TURNS: [Happening; 11] = [
    H::RoleChanges,
    H::IsRenamed,
    H::WorkspaceRoleChanges,
    H::WorkspaceArchived,
    H::WorkspaceRenamed,
    H::WorkspaceTagged,
    H::KeyDisabled,
    H::KeyEnabled,
    H::KeyArchived,
    H::KeyExpires,
    H::OrganizationRenamed,
];

const BEGINNINGS: [Happening; 11] = [
    H::Joins,
    H::Joins,
    H::Returns,
    H::MembershipGiven,
    H::MembershipGiven,
    H::MembershipGiven,
    H::WorkspaceMade,
    H::WorkspaceMade,
    H::KeyMade,
    H::PersonalKeyMade,
    H::ServiceKeyMade,
];

/// A life, from birth on.
#[derive(Debug)]
pub(super) struct Life {
    dice: Dice,
    endings: &'static [Happening],
    /// [`Settings::demonstration`].
    is_demonstration: bool,
    /// What is still to happen in this round, last first.
    deck: Vec<Happening>,
    /// What this round has touched: it is left alone while there is something else.
    touched: BTreeSet<String>,
    /// Those who left and may return.
    former: BTreeMap<String, User>,
}

impl Life {
    /// The life of a new organization. Creators of keys who are not members have left before.
    pub(super) fn new(settings: &Settings, truth: &Truth) -> Self {
        let mut dice = Dice::new(settings.seed, 2);
        let creators = truth.api_keys.values().filter_map(|key| key.created_by.as_ref());
        let left =
            creators.filter(|creator| creator.kind == "user" && !truth.users.contains_key(&creator.id));
        let ids: BTreeSet<String> =
            left.map(|creator| creator.id.clone()).filter(|id| *id != truth.legacy_creator_id).collect();
        let former = ids.into_iter().enumerate().map(|(number, id)| {
            let (name, email) = names::person(&mut dice, 9_000 + number, &truth.organization.name);
            let role = "developer".to_owned();
            (id.clone(), User { id, email, name, role, added_at: truth.now.clone() })
        });
        let former = former.collect();
        let endings = if settings.vanishing { &ENDINGS[..] } else { &ENDINGS[..ENDINGS.len() - 2] };
        let is_demonstration = settings.demonstration;
        Self { dice, endings, is_demonstration, deck: Vec::new(), touched: BTreeSet::new(), former }
    }

    /// One step: time passes, what is due expires, and one more thing happens.
    pub(super) fn step(&mut self, truth: &mut Truth) -> Vec<Event> {
        self.pass(truth);
        let mut events: Vec<Event> =
            due(truth).into_iter().filter_map(|what| self.apply(truth, what)).collect();
        // A round in which nothing is possible ends with somebody joining, which always is.
        for _ in 0..=ROUND {
            let happening = self.draw();
            if let Some(event) = self.plan(truth, happening).and_then(|what| self.apply(truth, what)) {
                events.push(event);
                return events;
            }
        }
        events.extend(self.plan(truth, H::Joins).and_then(|what| self.apply(truth, what)));
        events
    }

    /// Makes a mutation from outside happen, by the same dice.
    pub(super) fn intervene(&mut self, truth: &mut Truth, what: Mutation) -> Result<Event, MutationError> {
        if let Mutation::RemoveUser { id } = &what
            && let Some(user) = truth.users.get(id)
        {
            self.former.insert(id.clone(), user.clone());
        }
        self.keep_time(truth);
        let event = apply::apply(truth, &mut self.dice, what)?;
        self.touched.extend(event.effects.iter().map(|effect| effect.id.clone()));
        Ok(event)
    }

    fn apply(&mut self, truth: &mut Truth, what: Mutation) -> Option<Event> {
        self.intervene(truth, what).ok()
    }

    fn pass(&mut self, truth: &mut Truth) {
        let minutes = MINUTES.0 + self.dice.below(MINUTES.1 - MINUTES.0);
        if self.is_demonstration {
            return self.keep_time(truth);
        }
        let now = truth.clock();
        let later = now.saturating_add(i64::try_from(minutes).unwrap_or(1).minutes()).unwrap_or(now);
        truth.now = format!("{later:.6}");
    }

    /// Sets the clock by the machine's, if it is a demonstration.
    fn keep_time(&self, truth: &mut Truth) {
        if self.is_demonstration {
            truth.now = format!("{:.6}", Timestamp::now().max(truth.clock()));
        }
    }

    fn draw(&mut self) -> Happening {
        if let Some(happening) = self.deck.pop() {
            return happening;
        }
        self.touched.clear();
        for phase in [&BEGINNINGS[..], &TURNS[..], self.endings] {
            let mut happenings = phase.to_vec();
            self.dice.shuffle(&mut happenings);
            self.deck.extend(happenings);
        }
        self.deck.pop().unwrap_or(H::Joins)
    }

    /// The mutation that makes it happen, if anything is there to happen to.
    fn plan(&mut self, truth: &Truth, happening: Happening) -> Option<Mutation> {
        match happening {
            H::Joins
            | H::Returns
            | H::Leaves
            | H::CreatorLeaves
            | H::RoleChanges
            | H::IsRenamed
            | H::OrganizationRenamed => self.plan_person(truth, happening),
            H::MembershipGiven | H::MembershipTaken | H::WorkspaceRoleChanges => {
                self.plan_membership(truth, happening)
            }
            H::WorkspaceMade
            | H::WorkspaceArchived
            | H::WorkspaceRenamed
            | H::WorkspaceTagged
            | H::WorkspaceVanishes => self.plan_workspace(truth, happening),
            _ => self.plan_key(truth, happening),
        }
    }

    fn plan_person(&mut self, truth: &Truth, happening: Happening) -> Option<Mutation> {
        if let H::OrganizationRenamed = happening {
            let name = &truth.organization.name;
            let name = name.strip_suffix(", Inc.").map_or_else(|| format!("{name}, Inc."), str::to_owned);
            return Some(Mutation::RenameOrganization { name });
        }
        if let H::Joins = happening {
            let role = (*self.dice.pick(&ROLES[2..])).to_owned();
            return Some(Mutation::AddUser { id: None, email: None, name: None, role: Some(role) });
        }
        if let H::Returns = happening {
            let gone =
                self.former.keys().filter(|id| !truth.users.contains_key(*id) && !self.touched.contains(*id));
            let gone: Vec<String> = gone.cloned().collect();
            let id = self.fresh(gone.iter())?;
            let User { id, email, name, role, .. } = self.former.remove(&id)?;
            return Some(Mutation::AddUser {
                id: Some(id),
                email: Some(email),
                name: Some(name),
                role: Some(role),
            });
        }
        let creators: BTreeSet<&str> = truth
            .api_keys
            .values()
            .filter_map(|key| key.created_by.as_ref())
            .map(|creator| creator.id.as_str())
            .collect();
        let users = truth.users.values().filter(|user| match happening {
            // The one primary owner stays what and where they are.
            H::Leaves | H::RoleChanges => user.role != "primary_owner",
            H::CreatorLeaves => user.role != "primary_owner" && creators.contains(user.id.as_str()),
            _ => true,
        });
        let id = self.fresh(users.map(|user| &user.id))?;
        let user = truth.users.get(&id)?;
        Some(match happening {
            H::RoleChanges => {
                let others: Vec<&str> =
                    ROLES[1..].iter().copied().filter(|role| *role != user.role).collect();
                Mutation::ChangeRole { id, role: (*self.dice.pick(&others)).to_owned() }
            }
            H::IsRenamed => {
                let name = user.name.strip_suffix(" (she/her)").map(str::to_owned);
                Mutation::RenameUser { id, name: name.unwrap_or_else(|| format!("{} (she/her)", user.name)) }
            }
            _ => Mutation::RemoveUser { id },
        })
    }

    fn plan_membership(&mut self, truth: &Truth, happening: Happening) -> Option<Mutation> {
        let nobody = BTreeMap::new();
        let of = |id: &String| truth.members.get(id).unwrap_or(&nobody);
        let giving = matches!(happening, H::MembershipGiven);
        let open = truth.workspaces.keys().filter(|id| {
            let count = of(id).len();
            truth.takes_members(id) && if giving { count < truth.users.len() } else { count > 0 }
        });
        let workspace_id = self.fresh(open)?;
        let members = of(&workspace_id);
        let users = truth.users.keys().filter(|user_id| members.contains_key(*user_id) != giving);
        let user_id = self.fresh(users)?;
        let held = members.get(&user_id);
        let others: Vec<&str> =
            WORKSPACE_ROLES.iter().copied().filter(|role| Some(*role) != held.map(String::as_str)).collect();
        let role = (*self.dice.pick(&others)).to_owned();
        Some(match happening {
            H::MembershipGiven => Mutation::GiveMembership { user_id, workspace_id, role },
            H::MembershipTaken => Mutation::TakeMembership { user_id, workspace_id },
            _ => Mutation::ChangeWorkspaceRole { user_id, workspace_id, role },
        })
    }

    fn plan_workspace(&mut self, truth: &Truth, happening: Happening) -> Option<Mutation> {
        if let H::WorkspaceMade = happening {
            return Some(Mutation::MakeWorkspace { id: None, name: None });
        }
        let stays = |id: &String| {
            let is_first = truth.workspaces.get(id).is_some_and(|it| it.name == names::workspace(0));
            self.is_demonstration && is_first && !matches!(happening, H::WorkspaceTagged)
        };
        let ordinary = truth.workspaces.keys().filter(|id| match happening {
            H::WorkspaceVanishes => **id != truth.default_workspace_id,
            _ => truth.takes_members(id),
        });
        let ids: Vec<&String> = ordinary.filter(|id| !stays(id)).collect();
        let id = self.fresh(ids.into_iter())?;
        let workspace = truth.workspaces.get(&id)?;
        Some(match happening {
            H::WorkspaceArchived => Mutation::ArchiveWorkspace { id },
            H::WorkspaceRenamed => Mutation::RenameWorkspace { id, name: format!("{} II", workspace.name) },
            H::WorkspaceTagged => {
                let mut tags = workspace.tags.clone();
                tags.insert("reviewed_on".to_owned(), truth.now.chars().take(19).collect());
                Mutation::TagWorkspace { id, tags }
            }
            _ => Mutation::DeleteWorkspace { id },
        })
    }

    fn plan_key(&mut self, truth: &Truth, happening: Happening) -> Option<Mutation> {
        if let H::KeyMade | H::PersonalKeyMade | H::ServiceKeyMade = happening {
            let creator = Actor::user(&self.fresh(truth.users.keys())?);
            let open = truth.workspaces.keys().filter(|id| truth.takes_members(id));
            let workspace_id = self.fresh(open);
            let (principal, workspace_id, hours) = match happening {
                H::PersonalKeyMade => (Some(creator.clone()), None, Some(self.dice.below(12) + 1)),
                H::ServiceKeyMade => {
                    (Some(Actor::service_account(&self.dice.id("svac"))), workspace_id, None)
                }
                _ => (None, workspace_id, None),
            };
            let end =
                hours.and_then(|hours| truth.clock().checked_add(i64::try_from(hours).ok()?.hours()).ok());
            let expires_at = end.map(|end| self.dice.write(end));
            let created_by = Some(creator);
            return Some(Mutation::MakeKey {
                id: None,
                name: None,
                created_by,
                principal,
                workspace_id,
                expires_at,
            });
        }
        let keys = truth.api_keys.values().filter(|key| match happening {
            H::KeyDisabled | H::KeyExpires => key.status == "active",
            H::KeyEnabled => key.status == "inactive",
            H::KeyArchived => matches!(key.status.as_str(), "active" | "inactive"),
            // A key whose two relationships are there, so that they go with it.
            _ => {
                let creator =
                    key.created_by.as_ref().is_some_and(|actor| truth.users.contains_key(&actor.id));
                creator && key.workspace_id.as_ref().is_some_and(|id| truth.takes_members(id))
            }
        });
        let id = self.fresh(keys.map(|key| &key.id))?;
        Some(match happening {
            H::KeyDisabled => Mutation::SetKeyStatus { id, status: "inactive".to_owned() },
            H::KeyEnabled => Mutation::SetKeyStatus { id, status: "active".to_owned() },
            H::KeyArchived => Mutation::SetKeyStatus { id, status: "archived".to_owned() },
            H::KeyExpires => Mutation::ExpireKey { id },
            _ => Mutation::DeleteKey { id },
        })
    }

    /// One of them, and one that this round has not touched if there is one.
    fn fresh<'a>(&mut self, ids: impl Iterator<Item = &'a String>) -> Option<String> {
        let ids: Vec<&String> = ids.collect();
        let untouched: Vec<&String> = ids.iter().copied().filter(|id| !self.touched.contains(*id)).collect();
        let id = self.dice.choose(if untouched.is_empty() { &ids } else { &untouched })?.clone();
        self.touched.insert(id.clone());
        Some(id)
    }
}

/// The keys whose time has come.
fn due(truth: &Truth) -> Vec<Mutation> {
    let now = truth.clock();
    let alive = truth.api_keys.values().filter(|key| matches!(key.status.as_str(), "active" | "inactive"));
    alive
        .filter(|key| key.expires_at.as_deref().is_some_and(|end| instant(end) <= now))
        .map(|key| Mutation::ExpireKey { id: key.id.clone() })
        .collect()
}
