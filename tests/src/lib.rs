//! Broker harness, end-to-end, crash and law tests.
