//! What earlier polls left in the partitions that are assigned to this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use tokio::sync::{OnceCell, Semaphore};

use crate::assignment::Hold;
use crate::error_chain::chain;
use crate::history::{self, Known};

/// Partitions that are read at once (count): each takes a consumer with its threads and fetched records.
const MAX_READ_AT_ONCE: usize = 2;

/// What was read from a partition, or why nothing was.
type Read = Result<Known, String>;
/// Read by the first organization of the partition that needs it.
type Cell = Arc<OnceCell<Read>>;

/// The newest polls by partition. A partition is read once per assignment, for all of its organizations.
pub(crate) struct EarlierPolls {
    client: ClientConfig,
    group: String,
    graph: String,
    at_once: Semaphore,
    /// By partition, with the generation of its assignment.
    cells: Mutex<BTreeMap<i32, (u64, Cell)>>,
}

/// What a partition has, for one of its organizations.
pub(crate) struct History(Cell);

impl EarlierPolls {
    pub(crate) fn new(client: ClientConfig, group: &str, graph: &str) -> Self {
        Self {
            client,
            group: group.to_owned(),
            graph: graph.to_owned(),
            at_once: Semaphore::new(MAX_READ_AT_ONCE),
            cells: Mutex::default(),
        }
    }

    /// What the partition had when it was assigned. Stops when the holder is asked to leave.
    pub(crate) async fn of(&self, partition: i32, hold: &Hold) -> History {
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = cells.entry(partition).or_insert_with(|| (hold.generation(), Arc::default()));
            if entry.0 != hold.generation() {
                *entry = (hold.generation(), Arc::default());
            }
            Arc::clone(&entry.1)
        };
        cell.get_or_init(|| self.read(partition, hold)).await;
        History(cell)
    }

    async fn read(&self, partition: i32, hold: &Hold) -> Read {
        let leave = hold.leave().clone();
        let _turn = tokio::select! {
            turn = self.at_once.acquire() => turn.expect("it is never closed"),
            () = leave.cancelled() => return Err(LEFT.to_owned()),
        };
        let (client, group, graph) = (self.client.clone(), self.group.clone(), self.graph.clone());
        let read = move || history::read(&client, &group, &graph, [partition], || leave.is_cancelled());
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(Some(known))) => Ok(known),
            Ok(Ok(None)) => Err(LEFT.to_owned()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl History {
    pub(crate) fn read(&self) -> Result<&Known, &str> {
        let read = self.0.get().expect("it was read before");
        read.as_ref().map_err(String::as_str)
    }
}

/// Why a partition was not read to its end.
const LEFT: &str = "the partition was revoked";
