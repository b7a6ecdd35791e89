//! What befalls the services from outside, on a real Kafka with the real binaries: no wrong record, a clear error that
//! says what to do, and recovery without a hand where that is possible.

mod processors;
