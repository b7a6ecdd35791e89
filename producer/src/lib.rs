//! Polls the Anthropic Admin API and publishes raw records.
