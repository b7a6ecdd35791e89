//! What the producer does with Kafka, from which its permissions follow.

use schemas::topics::Topic;
use service::kafka::acls::Needs;

/// The topics, group and transactional IDs that the producer uses.
pub const NEEDS: Needs = Needs {
    service: "producer",
    wants: &[Topic::Raw, Topic::Graph],
    reads: &[Topic::Graph],
    writes: &[Topic::Raw],
};
