//! What the processor does with Kafka, from which its permissions follow.

use schemas::topics::Topic;
use service::kafka::acls::Needs;

/// The topics, group and transactional IDs that the processor uses.
pub const NEEDS: Needs = Needs {
    service: "processor",
    wants: &[Topic::Raw, Topic::Changes, Topic::Graph, Topic::DeadLetters],
    // Of changes the end: whether it still fits the graph.
    reads: &[Topic::Raw, Topic::Changes, Topic::Graph],
    writes: &[Topic::Changes, Topic::Graph, Topic::DeadLetters],
};
