//! The Anthropic end: one organization behind the Admin API.
