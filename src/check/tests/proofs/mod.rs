//! What is proved of graphs that one can follow by hand.

mod flight;
mod order;
mod stalls;
