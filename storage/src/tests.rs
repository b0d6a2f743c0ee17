//! The store as a whole: what it remembers, what it refuses, what damage and crashes do to it.

mod crash;
mod damage;
mod maps;
mod owner;
mod remember;
mod speed;
mod torn;
mod whole_log;
