//! Kafka: client configuration, topics, group membership, transactions, restore.
