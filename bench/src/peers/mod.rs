//! What the services are compared with.

pub(crate) mod bare;
pub(crate) mod http;
pub(crate) mod jupiterone_sdk;
pub(crate) mod output;
pub(crate) mod streams;
