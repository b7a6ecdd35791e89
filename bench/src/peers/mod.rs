//! What the services are compared with.

pub(crate) mod bare;
pub(crate) mod streams;
