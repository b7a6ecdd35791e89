//! What the sink does with Kafka, from which its permissions follow.

use schemas::topics::Topic;
use service::kafka::acls::Needs;

/// The topics, group and transactional IDs that the sink uses.
pub const NEEDS: Needs = Needs {
    service: "sink",
    wants: &[Topic::Graph, Topic::Sync],
    reads: &[Topic::Graph, Topic::Sync],
    writes: &[Topic::Sync],
};
