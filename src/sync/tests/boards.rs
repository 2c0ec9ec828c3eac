//! Models of boards.

use std::sync::Arc;

use loom::thread;

use super::super::boards::Boards;
use super::check;

/// Two threads have a ticket each, and jump to the same place. Each place is taken once.
#[test]
fn loom_boards_give_each_place_once() {
    check(&["boards.take"], || {
        let boards = Arc::new(Boards::new(1, 2, 0, 2));
        boards.put_up(0);
        let choose = |boards: &Boards, seat: usize| 1 << boards.choose(0, &(0..2), seat);
        let other = {
            let boards = boards.clone();
            thread::spawn(move || choose(&boards, 1))
        };
        let own: u32 = choose(&boards, 0);
        assert_eq!(own + other.join().expect("no panic"), 0b11, "each place once");
    });
}
