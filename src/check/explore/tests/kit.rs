//! Operators alone, and what user code shares.

use crate::check;
use crate::pool::Pool;

#[test]
fn an_operator_is_tried_alone() {
    check::operator(|numbers| numbers.window(2, 1).map(|pair| pair.iter().sum::<u32>()).boxed())
        .feed(1..4)
        .feed([4])
        .expect(&[3, 5, 7]);
    check::operator(|numbers| numbers.try_map(|x: u32| if x == 2 { Err("two") } else { Ok(x) }).boxed())
        .feed(1..4)
        .expect_error("two");
}

#[test]
#[should_panic(expected = "batches of 1: [1, 2] came out, not [2, 1]")]
fn what_else_comes_out_of_an_operator_is_told() {
    check::operator(|numbers| numbers.map(|x: u32| x).boxed()).feed([1, 2]).expect(&[2, 1]);
}

#[test]
#[should_panic(expected = "batches of 1: one schedule gives")]
fn an_operator_that_depends_on_the_schedule_is_found() {
    check::operator(|numbers| numbers.map(|x: u32| x).unordered().boxed()).feed([1, 2]).expect(&[1, 2]);
}

#[test]
fn a_channel_keeps_the_order_of_its_sender() {
    let received = check::explore().pure().run(|pool: &Pool| {
        let numbers = check::Channel::new();
        pool.scope(|s| {
            s.spawn(|_| (1..=2).for_each(|x| numbers.send(x)));
            s.spawn(|_| numbers.send(3));
        });
        let all = [numbers.recv(), numbers.recv(), numbers.recv()];
        (all.iter().position(|x| *x == 1) < all.iter().position(|x| *x == 2), numbers.try_recv())
    });
    assert_eq!(*received.expect("one's items stay in order").value(), (true, None));
}
