//! Measures the services side by side with their peers, on a real Kafka:
//! `cargo run --release -p bench -- [SCENARIO…] [--resources N] [--runs N] [--json] [--save] [--short]`.

mod arguments;
mod bounds;
mod broker;
mod changes_topic;
mod chart;
mod document;
mod ends;
mod figures;
mod figures_file;
mod limit;
mod machine;
mod organization;
mod peers;
mod process;
mod raw_topic;
mod running_services;
mod scenario;
mod scenario_name;
mod services;
mod table;
mod targets;
mod world;

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, ensure};
use clap::Parser as _;

use crate::{arguments::Arguments, figures::Figures, scenario::Bench};

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(
        !cfg!(debug_assertions),
        "figures of a debug build mean nothing: cargo run --release -p bench -- …"
    );
    let (bench, wanted) = (Bench::start(&arguments)?, arguments.scenarios());
    let began = Instant::now();
    let mut figures = Figures::default();
    bench.measure(&wanted, &mut figures)?;
    let is_well = !arguments.short || judge(&bench, &mut figures, began)?;
    if !arguments.short {
        print(&table::of(&figures));
    }
    if arguments.save {
        document::save(&figures, &arguments.sizes())?;
    }
    if arguments.json {
        print(&figures.json().to_string());
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks the figures against the bounds and prints the result. What is beyond one is measured once more: other work on the
/// machine passes, a regression stays.
fn judge(bench: &Bench, figures: &mut Figures, began: Instant) -> Result<bool> {
    let mut judgment = bounds::judge(figures);
    if !judgment.beyond.is_empty() {
        for line in &judgment.beyond {
            progress(&format!("{line}; measuring once more"));
        }
        bench.measure(&judgment.scenarios, figures)?;
        judgment = bounds::judge(figures);
    }
    print(&table::of(figures));
    for line in &judgment.beyond {
        print(line);
    }
    let (within, beyond) = (judgment.within, judgment.beyond.len());
    let is_well = beyond == 0 && within > 0;
    let word = if is_well { "ok" } else { "FAILED" };
    let seconds = began.elapsed().as_secs_f64();
    print(&format!(
        "bench result: {word}. {within} within their bounds; {beyond} beyond; finished in {seconds:.2}s"
    ));
    Ok(is_well)
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
