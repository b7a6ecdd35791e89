//! Everything that runs, and waiting for what it does.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use anyhow::bail;
use service::shutdown::CancellationToken;
use tokio::time::sleep;

use crate::comparison::{Verdict, compare};
use crate::screen::Screen;
use crate::services::Services;
use crate::view::View;
use crate::watch::{News, Watch};
use crate::world::World;

pub(crate) struct Session {
    pub(crate) world: World,
    pub(crate) services: Services,
    pub(crate) watch: Watch,
    pub(crate) view: View,
    pub(crate) screen: Screen,
    pub(crate) shutdown: CancellationToken,
    /// Of the last comparison.
    pub(crate) verdict: Option<Verdict>,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Reached,
    /// A person pressed Ctrl-C.
    Interrupted,
}

impl Session {
    /// Takes in and shows what happens until it is so. With a bound, a wait beyond it is an error.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        bound: Option<Duration>,
        is_so: impl Fn(&View) -> bool,
    ) -> anyhow::Result<Waited> {
        let mut bounded = pin!(async {
            match bound {
                Some(bound) => sleep(bound).await,
                None => pending().await,
            }
        });
        while !is_so(&self.view) {
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(Waited::Interrupted),
                news = self.watch.next() => self.take(news?)?,
                ended = self.services.next_end() => match ended? {
                    Some(line) if self.world.is_simulated() => bail!("the poll is {line}"),
                    Some(line) => self.screen.bad(&line),
                    None => {}
                },
                () = &mut bounded => {
                    let why = self.view.paused().map(|why| format!("; the sink is paused: {why}"));
                    let seconds = bound.unwrap_or_default().as_secs();
                    bail!("waited {seconds} s for {what}, in vain{}", why.unwrap_or_default());
                }
            }
        }
        Ok(Waited::Reached)
    }

    /// Compares, and remembers the result.
    pub(crate) async fn compare(&mut self) -> anyhow::Result<bool> {
        let verdict = compare(&self.world, &self.view).await?;
        let is_equal = verdict.is_equal();
        self.verdict = Some(verdict);
        Ok(is_equal)
    }

    fn take(&mut self, news: News) -> anyhow::Result<()> {
        let mut is_news = false;
        match news {
            News::Change(change) => {
                self.view.change(&change);
                self.screen.change(&change, &self.view);
            }
            News::Graph { key, value } => self.view.graph(&key, value.as_deref())?,
            News::Sync(sync) => {
                let job = |view: &View| view.finished().map(|finished| finished.job_id.clone());
                let (before, paused) = (job(&self.view), self.view.paused().map(str::to_owned));
                self.view.sync(*sync);
                is_news = job(&self.view) != before;
                if let Some(reason) = self.view.paused().filter(|reason| Some(*reason) != paused.as_deref()) {
                    self.screen.bad(&format!("the sink is paused: {reason}"));
                }
            }
            News::DeadLetter => {
                self.view.dead_letters += 1;
                bail!("a record could not be decoded and went to the dead-letter topic");
            }
            News::Received(bytes) => {
                self.view.received = bytes;
                return Ok(());
            }
            News::Broken(reason) => bail!(reason),
        }
        self.screen.status(&self.view, is_news);
        Ok(())
    }

    /// Ends the services first, then what they talk to.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let services = self.services.stop().await;
        let watch = self.watch.stop().await;
        self.world.stop().await;
        services.and(watch)
    }
}
