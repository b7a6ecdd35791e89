//! From the arguments to the summary.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use service::exit::{Outcome, UsageError};
use service::kafka::topics::Broker;
use service::shutdown::shutdown_signal;
use simulator::anthropic::ROUND;

use crate::arguments::Arguments;
use crate::comparison::Verdict;
use crate::kafka::Kafka;
use crate::screen::Screen;
use crate::services::Services;
use crate::session::{Session, Waited};
use crate::sizes;
use crate::summary;
use crate::view::View;
use crate::watch::Watch;
use crate::world::World;

/// How long a simulated poll may take until JupiterOne holds what it found: on the smallest machine it takes seconds.
const SYNC_BOUND: Duration = Duration::from_mins(2);

/// Runs until the end or Ctrl-C.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let shutdown = shutdown_signal().context("failed to listen for signals")?;
    sizes::check(&arguments)?;
    let kafka = match &arguments.bootstrap_servers {
        Some(servers) => Kafka::real(servers),
        None => Kafka::embedded()?,
    };
    let world = World::start(&arguments).await?;
    let config = world.config(&kafka, &arguments)?;
    let mut screen = Screen::new(arguments.json);
    introduce(&mut screen, &kafka, &world, &arguments);
    let (wanted, broker) = (config.clone(), kafka.broker);
    tokio::select! {
        prepared = tokio::task::spawn_blocking(move || Kafka::prepare(&wanted, broker)) => prepared??,
        () = shutdown.cancelled() => {
            summary::say(&mut screen, &View::default(), None, world.is_simulated(), arguments.json);
            return Ok(Outcome::Done);
        }
    }
    let watch = Watch::start(&kafka)?;
    let services = Services::start(config, &kafka)?;
    screen.status(&View::default(), false);
    let mut session =
        Session { world, services, watch, view: View::default(), screen, shutdown, verdict: None };
    let result = if arguments.once {
        once(&mut session, &arguments, kafka.broker).await
    } else {
        life(&mut session, &arguments, kafka.broker).await
    };
    let is_simulated = session.world.is_simulated();
    if result.is_ok() {
        let Session { screen, view, verdict, .. } = &mut session;
        summary::say(screen, view, verdict.as_ref(), is_simulated, arguments.json);
        kafka.remains().iter().for_each(|line| screen.line(line));
    } else {
        session.screen.end();
    }
    let is_equal = session.verdict.as_ref().is_none_or(Verdict::is_equal);
    // The first error is the cause.
    result.and(session.stop().await)?;
    Ok(if is_equal { Outcome::Done } else { Outcome::Failed })
}

fn introduce(screen: &mut Screen, kafka: &Kafka, world: &World, arguments: &Arguments) {
    screen.title("anthropic-graph quickstart");
    match kafka.broker {
        Broker::Embedded => {
            screen.line("  Kafka       embedded: librdkafka's mock cluster, in memory and without");
            screen.line("              transactions; what the services promise holds on a real Kafka only");
            screen.line("              (--bootstrap-servers)");
        }
        Broker::Kafka => {
            screen.line(&format!("  Kafka       {}", kafka.bootstrap_servers));
            screen.line(&format!(
                "              topics {}.raw, .changes, .graph, .sync, .deadletters",
                kafka.prefix
            ));
        }
    }
    match world.anthropic_url() {
        Some(url) => {
            screen.line(&format!(
                "  Anthropic   simulated: {} users, {} workspaces and Default, {} API keys, seed {}",
                arguments.users, arguments.workspaces, arguments.api_keys, arguments.seed
            ));
            screen.line(&format!("              {url}/_simulator/organization"));
        }
        None => screen.line("  Anthropic   your own organization, read only (GET)"),
    }
    screen.line(&format!("  JupiterOne  simulated: {}/_simulator/graph", world.jupiterone_url()));
    screen.line("  times are UTC; the reason of a deletion is in parentheses");
    screen.line("");
}

/// The size of a user's own organization is unknown before its first sync.
fn too_large(view: &View) -> UsageError {
    UsageError(format!("{}; {}", sizes::full(view), sizes::WITHOUT_LIMIT))
}

/// Opens the console, and says where it is and how to ask the same in a terminal.
async fn open_console(session: &mut Session, arguments: &Arguments) -> anyhow::Result<String> {
    let url = session.services.open_console().await?;
    for line in session.view.access_counts().lines() {
        session.screen.line(&line);
    }
    session.screen.title(&format!("Who can reach what, now and before: {url}access"));
    let has_production = session.world.is_simulated() && arguments.workspaces > 0;
    let question = if has_production { "who-can --workspace Production" } else { "who-can" };
    session.screen.line("The same in another terminal, after `cargo install --path cli`:");
    session.screen.line(&format!("  {}", session.services.command(question)));
    Ok(url)
}

/// One poll, a batch of changes, a second poll, and the comparison. An organization that is not simulated is polled once.
async fn once(session: &mut Session, arguments: &Arguments, broker: Broker) -> anyhow::Result<()> {
    let is_simulated = session.world.is_simulated();
    let bound = is_simulated.then_some(SYNC_BOUND);
    session.services.poll();
    let is_so = |view: &View| view.is_in_sync(1) || sizes::is_full(broker, view);
    if session.until("the first sync", bound, is_so).await? == Waited::Interrupted {
        return Ok(());
    }
    if sizes::is_full(broker, &session.view) {
        return Err(too_large(&session.view).into());
    }
    if is_simulated {
        session.world.live(ROUND);
        session.services.poll();
        if session.until("the second sync", bound, |view| view.is_in_sync(2)).await? == Waited::Interrupted {
            return Ok(());
        }
    }
    if arguments.drift
        && let Some((organization_id, _)) = session.view.organization()
    {
        session.world.drift(organization_id)?;
        session.screen.line("another program changed a property in JupiterOne");
    }
    session.compare().await?;
    Ok(())
}

/// Polls at the interval, lets the organization live between two polls, and compares after each. When the embedded
/// broker is full, the console goes on alone.
async fn life(session: &mut Session, arguments: &Arguments, broker: Broker) -> anyhow::Result<()> {
    let bound = session.world.is_simulated().then(|| SYNC_BOUND + arguments.polling_interval());
    let mut left_as = session.world.truth();
    session.services.keep_polling();
    let mut since_ms = 0;
    let mut is_open = false;
    let mut differed = false;
    loop {
        let is_so = |view: &View| view.is_in_sync_since(since_ms) || sizes::is_full(broker, view);
        if session.until("JupiterOne to be in sync", bound, is_so).await? == Waited::Interrupted {
            return Ok(());
        }
        if sizes::is_full(broker, &session.view) {
            if !is_open {
                return Err(too_large(&session.view).into());
            }
            session.services.stop_polling();
            let why = sizes::full(&session.view);
            session.screen.line(&format!("Polling stops: {why};"));
            session.screen.line(&format!("{}.", sizes::WITHOUT_LIMIT));
            session.screen.title("The console stays open until you press Ctrl-C.");
            session.until("Ctrl-C", None, |_| false).await?;
            return Ok(());
        }
        let differs = !session.compare().await?;
        if differs {
            // Someone may have changed the simulated organization at its address since the poll. The next one sees it.
            let is_left_alone = session.world.truth() == left_as;
            if is_left_alone && (differed || !session.world.is_simulated()) {
                return Ok(());
            }
            session.verdict = None;
        }
        differed = differs;
        if !is_open {
            is_open = true;
            let url = open_console(session, arguments).await?;
            if arguments.mass_deletion {
                let count = session.world.remove_many(session.services.organization()?)?;
                session
                    .screen
                    .line(&format!("{count} people were removed at once; the guard holds their deletion:"));
                session.screen.title(&format!("  {url}holds"));
                session.screen.line(&format!("  {}", session.services.command("holds list")));
            }
        }
        since_ms = if session.world.is_simulated() {
            session.world.live(usize::from(arguments.events));
            left_as = session.world.truth();
            Timestamp::now().as_millisecond()
        } else {
            session.view.poll().started_ts_ms.unwrap_or_default()
        };
    }
}
