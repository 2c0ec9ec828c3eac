//! Tests of the pool's private parts.

mod elastic;
mod spares;
mod spots;
