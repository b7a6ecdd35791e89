//! Measures the services side by side with their peers, on a real Kafka:
//! `cargo run --release -p bench -- [SCENARIO…] [--resources N] [--runs N] [--json]`.

mod arguments;
mod broker;
mod chart;
mod figures;
mod machine;
mod organization;
mod peers;
mod process;
mod raw_topic;
mod scenario;
mod services;
mod table;
mod world;

use anyhow::{Result, ensure};
use clap::Parser as _;

use crate::{arguments::Arguments, figures::Figures, scenario::Bench};

fn main() -> Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "figures of a debug build mean nothing: cargo run --release -p bench -- …"
    );
    let arguments = Arguments::parse();
    let bench = Bench::start(&arguments)?;
    let mut figures = Figures::default();
    for run in 0..arguments.runs {
        progress(&format!("run {} of {}", run + 1, arguments.runs));
        scenario::run(&bench, run, &mut figures)?;
    }
    print(&table::of(&figures));
    if arguments.save {
        chart::save(&arguments, &figures)?;
    }
    if arguments.json {
        print(&figures.json().to_string());
    }
    Ok(())
}

/// Tells a person who waits what is being done.
#[expect(clippy::print_stderr, reason = "a program's progress")]
fn progress(what: &str) {
    eprintln!("{what}");
}

#[expect(clippy::print_stdout, reason = "the program's result")]
fn print(text: &str) {
    println!("{text}");
}
