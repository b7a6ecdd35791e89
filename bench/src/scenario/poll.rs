//! A poll of the Admin API, compared to a client that only fetches the same pages.

use anyhow::{Result, ensure};
use schemas::{codec, raw::RawRecord, topics::Topic};
use simulator::anthropic::Settings;

use super::{Bench, in_turns};
use crate::{
    ends::AnthropicEnd,
    figures::{Figures, OURS, Unit, per_second},
    peers::{bare, http},
    progress,
    world::World,
};

const CLIENT: &str = "bare HTTP client";
const RESOURCES: Unit = Unit::PerSecond("resources");

/// An Admin API and the requests of one poll.
pub(super) struct Poll {
    world: World,
    end: AnthropicEnd,
    partition: i32,
    paths: Vec<String>,
    client: reqwest::Client,
}

impl Poll {
    /// Polls once: the first poll makes the topics.
    pub(super) fn new(bench: &Bench) -> Result<Self> {
        progress("poll: polling for the first time");
        let world = World::new(&bench.broker.bootstrap_servers, bench.sizes.api_keys)?;
        let organization = world.organization();
        let end = AnthropicEnd::start(Settings {
            users: organization.users() as usize,
            workspaces: organization.workspaces() as usize,
            api_keys: bench.sizes.api_keys as usize,
            ..Settings::default()
        })?;
        world.poll(&end.anthropic)?;
        bench.services.run("producer", &world.config(), &["poll"])?;
        let requests = end.anthropic.requests();
        let refused = requests.iter().find(|request| request.method != "GET" || request.status != Some(200));
        ensure!(refused.is_none(), "a request of the poll was refused: {refused:?}");
        let path = |path: &str, query: &str| {
            if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
        };
        let paths = requests.iter().map(|request| path(&request.path, &request.query)).collect();
        let partition = world.raw.partition(&end.anthropic.organization_id());
        Ok(Self { world, end, partition, paths, client: http::client()? })
    }

    pub(super) fn run(&self, bench: &Bench, number: u32, figures: &mut Figures) -> Result<()> {
        let before = self.resources()?;
        let mut counts = Vec::new();
        for side in in_turns(vec![OURS, CLIENT], number) {
            progress(&format!("poll: {side}"));
            let (count, took) = if side == OURS {
                let ended = bench.services.run("producer", &self.world.config(), &["poll"])?;
                figures.add("poll-peak", Unit::MebiBytes, OURS, ended.peak_mib);
                (self.resources()? - before, ended.took)
            } else {
                http::fetch(&self.client, &self.end, &self.paths)?
            };
            counts.push(count);
            figures.add("poll", RESOURCES, side, per_second(count, took));
        }
        ensure!(
            counts[0] == counts[1],
            "one side has {} resources, the other {}; nothing is compared",
            counts[0],
            counts[1]
        );
        Ok(())
    }

    /// The resources in the raw topic so far.
    fn resources(&self) -> Result<u64> {
        let (servers, raw) = (&self.world.bootstrap_servers, self.world.topic(Topic::Raw));
        tests::kafka::await_ends(servers, &raw);
        let mut resources = 0;
        bare::read(servers, &raw, self.partition, 0, |message| {
            let record: RawRecord = codec::decode(rdkafka::Message::payload(message).unwrap_or_default())?;
            resources += u64::from(record.body.resource().is_some());
            Ok(())
        })?;
        Ok(resources)
    }
}
