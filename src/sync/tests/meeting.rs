//! Models of meetings, and of the box that their places are in.

use std::sync::Arc;

use loom::thread;

use super::super::meeting::{Meeting, MeetingPlaces, Side};
use super::super::once_box::OnceBox;
use super::{Plain, check};

/// Two threads come, and one goes on. It has both sides, and sees what both did before they came.
#[test]
fn loom_meeting_hands_over() {
    check(&["meeting.come", "meeting.seen"], || {
        let shared = Arc::new((Meeting::new(), Plain::new(), Plain::new()));
        let come = |shared: &(Meeting<u32>, Plain, Plain), side: Side, mine: &Plain| {
            mine.add();
            #[expect(unsafe_code, reason = "the contract is part of the model")]
            // SAFETY: (1) one thread a side.
            let both = unsafe { shared.0.come(side, side as u32) };
            if let Some(both) = both {
                assert_eq!(both, (Side::Left as u32, Side::Right as u32), "each side in its place");
                assert_eq!((shared.1.get(), shared.2.get()), (1, 1), "the second one sees all");
            }
            u32::from(both.is_some())
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || come(&shared, Side::Left, &shared.1))
        };
        let met = come(&shared, Side::Right, &shared.2) + other.join().expect("no panic");
        assert_eq!(met, 1, "exactly one goes on");
        let mut shared = Arc::into_inner(shared).expect("the other one has ended");
        assert_eq!(shared.0.left_over(), None);
    });
}

/// Two pairs meet, and one place is near. The third pair has one side only.
#[test]
fn loom_meeting_places_are_the_same_for_both() {
    check(&["meeting.claim"], || {
        let places = Arc::new(MeetingPlaces::new());
        let come = |places: &MeetingPlaces<u32>, pair: u32, side: Side| {
            #[expect(unsafe_code, reason = "the contract is part of the model")]
            // SAFETY: (1) once a side of each pair, below.
            let both = unsafe { places.of(pair).come(side, pair) };
            both.map_or(0, |both| both.0 + both.1)
        };
        let other = {
            let places = places.clone();
            thread::spawn(move || come(&places, 1, Side::Left) + come(&places, 2, Side::Left))
        };
        let met = come(&places, 2, Side::Right) + come(&places, 1, Side::Right) + other.join().expect("no panic");
        assert_eq!(met, 2 + 4, "both pairs meet, once");
        assert_eq!(come(&places, 5, Side::Left), 0, "nobody else comes");
        let mut places = Arc::into_inner(places).expect("the other one has ended");
        assert_eq!(places.left_over().collect::<Vec<_>>(), [5]);
        assert_eq!(places.left_over().count(), 0, "taken out");
    });
}

/// Two threads make a box. Both get the same one, and see what is in it.
#[test]
fn loom_once_box_comes_with_what_is_in_it() {
    check(&["once_box.put", "once_box.seen", "once_box.lost"], || {
        let shared = Arc::new(OnceBox::new());
        let get = |shared: &OnceBox<Plain>| {
            let content = shared.get_or_make(|| {
                let content = Plain::new();
                content.add();
                Box::new(content)
            });
            assert_eq!(content.get(), 1, "what is in the box is seen");
            std::ptr::from_ref(content).addr()
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || get(&shared))
        };
        let own = get(&shared);
        assert_eq!(own, other.join().expect("no panic"), "one box for both");
        let mut shared = Arc::into_inner(shared).expect("the other one has ended");
        assert_eq!(shared.get_mut().expect("it was made").get(), 1);
    });
}
