//! How far a command is: bars on stderr while it works, gone when it ends.
//!
//! Only a command whose stderr is a terminal shows any. A service has its log, its metrics and `/readyz`.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How long work is done without a bar: most partitions are read in less, and a bar that flashes shows nothing.
const UNNOTICED: Duration = Duration::from_millis(500);
/// How often a bar's elapsed time moves while nothing else does.
const TICK: Duration = Duration::from_millis(200);
const TEMPLATE: &str = "{msg} {wide_bar} {human_pos}/{human_len} {prefix}, {elapsed}";

/// All bars of the process; empty in a service, and where stderr is not a terminal.
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// Lets this process show progress, if a person sees its stderr.
pub(crate) fn show() {
    if io::stderr().is_terminal() {
        BARS.get_or_init(MultiProgress::new);
    }
}

/// Takes the bars off the terminal while something else is written to it.
pub(crate) fn suspend<T>(write: impl FnOnce() -> T) -> T {
    match BARS.get() {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

/// One piece of work. Its bar goes when it is dropped.
#[derive(Debug)]
pub struct Progress {
    what: String,
    unit: &'static str,
    end: u64,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Work of so many units, such as `reading anthropic.graph` and `records`. Its bar comes once it takes a while.
    pub fn begin(what: impl Into<String>, unit: &'static str, end: u64) -> Self {
        Self { what: what.into(), unit, end, began: Instant::now(), bar: None }
    }

    /// So many units are done.
    pub fn reach(&mut self, done: u64) {
        let Some(bars) = BARS.get() else { return };
        if self.bar.is_none() && self.began.elapsed() >= UNNOTICED {
            self.bar = Some(bars.add(self.make()));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// So many units are to be done in all.
    pub fn expect(&mut self, end: u64) {
        self.end = end;
        if let Some(bar) = &self.bar {
            bar.set_length(end);
        }
    }

    fn make(&self) -> ProgressBar {
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is valid");
        let bar = ProgressBar::new(self.end).with_style(style.progress_chars("=> "));
        bar.set_message(self.what.clone());
        bar.set_prefix(self.unit);
        bar.set_elapsed(self.began.elapsed());
        bar.enable_steady_tick(TICK);
        bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressBar, ProgressDrawTarget, TermLike};

    use super::Progress;

    #[test]
    fn a_bar_names_the_work_and_how_far_it_is() {
        let terminal = InMemoryTerm::new(4, 80);
        let mut progress = Progress::begin("reading anthropic.graph partition 3", "offsets", 9_000);
        let bar = progress.make();
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        progress.bar = Some(bar.clone());
        // Else only its own thread draws.
        bar.disable_steady_tick();
        bar.set_position(4_500);
        let shown = drawn(&bar, &terminal, "4,500/9,000");
        assert!(shown.starts_with("reading anthropic.graph partition 3 ==="), "{shown}");
        assert!(shown.contains("4,500/9,000 offsets, "), "{shown}");
        assert!(shown.chars().count() <= usize::from(terminal.width()), "{shown}");
        progress.expect(18_000);
        drawn(&bar, &terminal, "4,500/18,000 offsets");
        drop(progress);
        assert_eq!(terminal.contents(), "");
    }

    /// What the terminal shows once it has this: a bar is drawn twenty times a second at most.
    fn drawn(bar: &ProgressBar, terminal: &InMemoryTerm, text: &str) -> String {
        for _ in 0..500 {
            bar.tick();
            if terminal.contents().contains(text) {
                return terminal.contents();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("{text} is not shown: {}", terminal.contents());
    }

    #[test]
    fn a_process_that_may_show_none_shows_none() {
        let mut progress = Progress::begin("reading", "offsets", 2);
        progress.began =
            std::time::Instant::now().checked_sub(super::UNNOTICED).expect("the machine runs for longer");
        progress.reach(1);
        assert!(progress.bar.is_none());
    }
}
