//! The simulator binary: both ends, until it is stopped.

mod configuration;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use jiff::SignedDuration;
use simulator::anthropic::{self, Anthropic, IncludeDefault};
use simulator::jupiterone::{self, JupiterOne};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tracing_subscriber::EnvFilter;

/// An Anthropic organization that changes, and a JupiterOne account, both on loopback.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// The same seed and sizes give the same organization and the same changes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Members at the start.
    #[arg(long, default_value_t = 40, value_name = "N")]
    users: usize,
    /// Workspaces at the start, in addition to the default one.
    #[arg(long, default_value_t = 8, value_name = "N")]
    workspaces: usize,
    /// API keys at the start.
    #[arg(long, default_value_t = 60, value_name = "N")]
    api_keys: usize,
    /// Where the Admin API listens; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    anthropic_listen: SocketAddr,
    /// Where JupiterOne's ingestion API listens; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    jupiterone_listen: SocketAddr,
    /// Generation of the Admin API's wire format.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4), value_name = "1|2|3|4")]
    generation: u8,
    /// What the workspace list does with `include_default`; by default what the generation did.
    #[arg(long, value_name = "BEHAVIOR")]
    include_default: Option<Behavior>,
    /// Answer 429 to more than 100 requests a minute.
    #[arg(long)]
    enforce_rate_limit: bool,
    /// Change something in the organization every PERIOD, such as `2s`.
    #[arg(long, value_parser = period, value_name = "PERIOD")]
    live: Option<Duration>,
    /// Write a configuration for the services, with key files next to it. A file that the simulator did not write is kept.
    #[arg(long, value_name = "FILE")]
    write_config: Option<PathBuf>,
    /// The broker that the written configuration names.
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "SERVERS")]
    bootstrap_servers: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Behavior {
    Known,
    Ignored,
    Rejected,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour).init();
    run(Arguments::parse()).await
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Before anything is announced: a reader of the announcement may already send the signal.
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let anthropic = anthropic::start(settings(&arguments), arguments.anthropic_listen).await?;
    let jupiterone = jupiterone::start(jupiterone::Settings::default(), arguments.jupiterone_listen).await?;
    if let Some(file) = &arguments.write_config {
        configuration::write(file, &anthropic, &jupiterone, &arguments.bootstrap_servers)?;
    }
    announce(&anthropic, &jupiterone).context("failed to print the addresses")?;
    tokio::select! {
        () = live(&anthropic, arguments.live) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    anthropic.shutdown().await;
    jupiterone.shutdown().await;
    Ok(())
}

fn settings(arguments: &Arguments) -> anthropic::Settings {
    anthropic::Settings {
        seed: arguments.seed,
        users: arguments.users,
        workspaces: arguments.workspaces,
        api_keys: arguments.api_keys,
        generation: arguments.generation,
        include_default: arguments.include_default.map(|behavior| match behavior {
            Behavior::Known => IncludeDefault::Known,
            Behavior::Ignored => IncludeDefault::Ignored,
            Behavior::Rejected => IncludeDefault::Rejected,
        }),
        enforce_rate_limit: arguments.enforce_rate_limit,
        vanishing: false,
        demonstration: true,
        ..anthropic::Settings::default()
    }
}

/// Prints the addresses and the credentials that are accepted, which are made up and open nothing else.
fn announce(anthropic: &Anthropic, jupiterone: &JupiterOne) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "anthropic  {}", anthropic.url())?;
    writeln!(out, "  admin key     {}", anthropic.admin_key())?;
    writeln!(out, "  organization  {}", anthropic.organization_id())?;
    writeln!(out, "  to look at    {}/_simulator/organization", anthropic.url())?;
    writeln!(out, "jupiterone {}", jupiterone.url())?;
    writeln!(out, "  account       {}", jupiterone.account_id())?;
    writeln!(out, "  api key       {}", jupiterone.api_key())?;
    writeln!(out, "  to look at    {}/_simulator/graph", jupiterone.url())?;
    out.flush()
}

/// Lives a step a period, forever.
async fn live(anthropic: &Anthropic, period: Option<Duration>) {
    let Some(period) = period else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        for effect in anthropic.live(1).into_iter().flat_map(|event| event.effects) {
            tracing::info!(op = ?effect.op, object = %effect.object, id = effect.id, "the organization changed");
        }
    }
}

fn period(text: &str) -> Result<Duration, String> {
    let period: SignedDuration = text.parse().map_err(|_| "write a time span such as 2s or 1m".to_owned())?;
    match Duration::try_from(period) {
        Ok(period) if !period.is_zero() => Ok(period),
        _ => Err("the period must be longer than nothing".to_owned()),
    }
}
