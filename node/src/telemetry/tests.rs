//! Messages on their whole way, to receivers on this machine.

pub(super) mod receiver;
mod smtp;
