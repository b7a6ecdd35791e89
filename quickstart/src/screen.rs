//! What a person sees: lines, and on a terminal a last one that is redrawn, with a little colour.

use std::io::{self, IsTerminal, Write};

use graph::describe::describe;
use graph::text::clean;
use jiff::Timestamp;
use jiff::tz::Offset;
use schemas::change::{Envelope, Op};

use crate::view::View;

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const DIM: &str = "2";
const BOLD: &str = "1";

/// Returns to the start of the line and clears the rest.
const CLEAR: &str = "\r\x1b[K";
/// Longest redrawn line (characters): one that wraps could not be cleared.
const STATUS_LEN: usize = 79;

pub(crate) struct Screen {
    is_silent: bool,
    is_terminal: bool,
    has_colour: bool,
    status: String,
}

impl Screen {
    /// For stdout as it is; silent where it is to hold a JSON object alone.
    pub(crate) fn new(is_silent: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let has_colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { is_silent, is_terminal, has_colour, status: String::new() }
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.show(&clean(text));
    }

    /// A line that stands out.
    pub(crate) fn title(&mut self, text: &str) {
        self.show(&self.coloured(BOLD, text));
    }

    /// A line about something bad.
    pub(crate) fn bad(&mut self, text: &str) {
        self.show(&self.coloured(RED, &clean(text)));
    }

    /// A change: when, who or what, before → after. Those of a first whole listing are only counted.
    pub(crate) fn change(&mut self, change: &Envelope, view: &View) {
        let colour = match change.op {
            Op::Read => return,
            Op::Create => GREEN,
            Op::Delete => RED,
            Op::Update | Op::Notice | Op::Other { .. } => YELLOW,
        };
        let text = describe(change, |key| view.name(key).map(str::to_owned));
        let line = format!("{}  {}", self.coloured(DIM, &time(change.ts_ms)), self.coloured(colour, &text));
        self.show(&line);
    }

    /// What JupiterOne holds and how far all is: redrawn on a terminal, elsewhere a line where `is_news`.
    pub(crate) fn status(&mut self, view: &View, is_news: bool) {
        if self.is_silent {
            return;
        }
        let text = status(view);
        if self.is_terminal {
            let text: String = text.chars().take(STATUS_LEN).collect();
            let text = self.coloured(DIM, &text);
            if self.status != text {
                write(&format!("{CLEAR}{text}"));
                self.status = text;
            }
        } else if is_news {
            self.line(&text);
        }
    }

    /// Takes the redrawn line away.
    pub(crate) fn end(&mut self) {
        if self.is_terminal && !self.is_silent {
            self.status.clear();
            write(CLEAR);
        }
    }

    fn show(&mut self, text: &str) {
        if self.is_silent {
            return;
        }
        let (clear, status) = if self.is_terminal { (CLEAR, self.status.as_str()) } else { ("", "") };
        write(&format!("{clear}{text}\n{status}"));
    }

    fn coloured(&self, code: &str, text: &str) -> String {
        if self.has_colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A last line that stdout always holds.
pub(crate) fn print(line: &str) {
    write(&format!("{line}\n"));
}

fn write(text: &str) {
    let mut stdout = io::stdout().lock();
    // A reader that went away misses nothing.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn time(ts_ms: i64) -> String {
    let time = Timestamp::from_millisecond(ts_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = Offset::UTC.to_datetime(time);
    format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

fn status(view: &View) -> String {
    let poll = view.poll();
    let held = view.held();
    let progress = match view.finished() {
        None if view.changes.r == 0 => {
            return "waiting until Kafka has given the services their partitions".to_owned();
        }
        None => format!("first sync: {} seen", view.changes.r),
        Some(finished) if finished.revision == poll.revision => "in sync".to_owned(),
        Some(finished) => format!("behind by {}", poll.revision - finished.revision),
    };
    format!(
        "JupiterOne holds {} entities and {} relationships · poll {} · {progress}",
        held.entities, held.relationships, view.polls
    )
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn a_time_is_that_of_the_day_in_utc() {
        assert_eq!(time(1_780_112_720_615), "03:45:20");
    }
}
