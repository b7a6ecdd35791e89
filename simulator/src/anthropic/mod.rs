//! A simulated Anthropic organization that changes, served by the Admin API on loopback.
//!
//! Everything about it follows from [`Settings::seed`] and the sizes: ids, names, times, and its life on a clock of
//! its own. Where Anthropic's public text leaves a behaviour open, it is a switch ([`Switches`]).

mod apply;
mod connection;
mod dice;
mod effect;
mod fault;
mod initial_organization;
mod life;
mod mutation;
mod names;
mod page;
mod refusal;
mod resources;
mod server;
mod settings;
mod truth;
mod wire;
mod world;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use connection::{Cuttable, Scissors};
use fault::Armed;
use server::Shared;
use world::World;

pub use effect::{Effect, Object, Op};
pub use fault::{Answer, Fault, When};
pub use life::ROUND;
pub use mutation::{Event, Mutation, MutationError};
pub use settings::{
    ApiVersion, ArchivedMembers, DefaultMembers, IncludeDefault, Order, Settings, Switches, UnknownCursor,
    UnknownVersion,
};
pub use truth::{Actor, ApiKey, DataResidency, Organization, ROLES, Truth, User, WORKSPACE_ROLES, Workspace};
pub use world::LoggedRequest;

/// How long `shutdown` waits for open requests, such as slow bodies, before it drops them.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Starts an organization's Admin API on `listen` (port 0: any free one), on the current tokio runtime.
///
/// # Errors
/// When the address cannot be listened on, or a setting makes no sense.
pub async fn start(settings: Settings, listen: SocketAddr) -> anyhow::Result<Anthropic> {
    anyhow::ensure!((1..=4).contains(&settings.generation), "generation must be 1 to 4");
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen} for Anthropic"))?;
    let mut address = listener.local_addr().context("failed to learn the listening address")?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let shared = Shared::new(World::new(&settings));
    let (admin_key, organization_id) = {
        let world = shared.world();
        (world.admin_key.clone(), world.truth.organization.id.clone())
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let service = server::router(shared.clone()).into_make_service_with_connect_info::<Scissors>();
    let serving = tokio::spawn(async move {
        // The sender's drop ends the server as well as its word.
        let stopped = async { drop(stopped.await) };
        if let Err(error) = axum::serve(Cuttable(listener), service).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the Anthropic end stopped serving");
        }
    });
    Ok(Anthropic { address, admin_key, organization_id, shared, stop, serving })
}

/// A running Admin API and its organization. Dropping it stops it.
pub struct Anthropic {
    address: SocketAddr,
    admin_key: String,
    organization_id: String,
    shared: Shared,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Anthropic {
    /// The base URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The Admin key that it accepts.
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    pub fn organization_id(&self) -> String {
        self.organization_id.clone()
    }

    /// What the organization is now.
    pub fn truth(&self) -> Truth {
        self.shared.world().truth.clone()
    }

    /// Lives that many steps and returns what happened, in order. After [`ROUND`] steps everything has happened.
    pub fn live(&self, steps: usize) -> Vec<Event> {
        self.shared.world().live(steps)
    }

    /// Makes one thing happen.
    ///
    /// # Errors
    /// When it names something unknown, or when Anthropic would refuse it. Nothing has changed then.
    pub fn mutate(&self, what: Mutation) -> Result<Event, MutationError> {
        self.shared.world().mutate(what)
    }

    /// Sets a fault, after those that are set.
    pub fn fault(&self, fault: Fault) {
        self.shared.world().faults.push(Armed::new(fault));
    }

    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// Changes how the API behaves.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.shared.world().truth.switches);
    }

    /// Replaces the Admin key: the old one is revoked.
    pub fn replace_admin_key(&mut self, key: &str) {
        key.clone_into(&mut self.admin_key);
        key.clone_into(&mut self.shared.world().admin_key);
    }

    /// Exchanges two organizations: each answers at the other's address, and to its own key there. An address is where
    /// the Admin API is, for all organizations; this is how it looks to who is given another organization's key.
    pub fn exchange(&mut self, other: &mut Self) {
        std::mem::swap(&mut *self.shared.world(), &mut *other.shared.world());
        std::mem::swap(&mut self.admin_key, &mut other.admin_key);
        std::mem::swap(&mut self.organization_id, &mut other.organization_id);
    }

    /// The requests to the API so far, the newest 100,000 of them.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.world().log()
    }

    /// Stops the server and waits until it has.
    pub async fn shutdown(self) {
        let Self { stop, mut serving, .. } = self;
        drop(stop);
        if tokio::time::timeout(SHUTDOWN, &mut serving).await.is_err() {
            serving.abort();
        }
    }
}

impl fmt::Debug for Anthropic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, organization_id, .. } = self;
        f.debug_struct("Anthropic")
            .field("address", address)
            .field("organization_id", organization_id)
            .finish_non_exhaustive()
    }
}
