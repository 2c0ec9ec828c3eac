//! How much is in flight.

use crate::{Data, Graph, Pool, Proof, Stream, Windows};

/// The proof of a graph of a source of `u32` in batches of 10, with 3 credits.
fn proof<T>(describe: for<'env> fn(&Graph<'env>, Stream<'env, u32>) -> T) -> Proof {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let g = Graph::new();
    let numbers = g.source_fn(|| 0..1000_u32).named("numbers").batch_size(10).credits(3);
    let rest = describe(&g, numbers.boxed());
    let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
    drop(rest);
    proof
}

fn bounds<T>(describe: for<'env> fn(&Graph<'env>, Stream<'env, u32>) -> T) -> (Option<u64>, Option<u64>) {
    let proof = proof(describe);
    assert_eq!(proof.items_in_flight().is_none(), proof.unbounded().is_some(), "{proof}");
    (proof.items_in_flight(), proof.bytes_in_flight())
}

#[test]
fn a_line_has_the_items_of_its_batches() {
    assert_eq!(bounds(|_, x| x.for_each(|_| ())), (Some(30), Some(120)));
    assert_eq!(bounds(|_, x| x.flat_map(|x| 0..x).for_each(|_| ())), (Some(30), Some(120)), "nothing waits behind it");
    assert_eq!(
        bounds(|_, x| x.map(|x| [x; 4]).for_each_ordered(|_| ())),
        (Some(30), Some(480)),
        "these wait for their turn"
    );
    assert_eq!(bounds(|_, x| x.map(|x| [x; 4]).scan((), |(), x| Some(x[0])).for_each(|_| ())), (Some(30), Some(480)));
}

#[test]
fn copies_count_and_what_goes_one_of_two_ways_counts_once() {
    assert_eq!(
        proof(|_, x| {
            let (one, two) = x.tee();
            (one.max(), two.max())
        })
        .items_in_flight(),
        Some(60)
    );
    assert_eq!(
        proof(|_, x| {
            let (one, two) = x.partition(|x| x % 2 == 0);
            (one.max(), two.max())
        })
        .items_in_flight(),
        Some(30)
    );
    assert_eq!(
        bounds(|g, x| x.zip(g.source_fn(|| 0..9_u64).batch_size(2).credits(2)).count()),
        (Some(30 + 4), Some(30 * 16 + 4 * 16)),
        "pairs of 16 bytes"
    );
}

#[test]
fn what_is_kept_for_the_end_goes_on_without_credits() {
    assert_eq!(proof(|_, x| x.chunks(4).for_each(|_| ())).items_in_flight(), Some(31), "the last chunk");
    let unbounded = |proof: Proof| proof.unbounded().expect("not bounded").to_string();
    assert!(unbounded(proof(|_, x| x.sorted_by_key(|x| *x).for_each(|_| ()))).contains("at the end"));
}

#[test]
fn what_is_not_bounded_is_named() {
    type Describe = for<'env> fn(&Graph<'env>, Stream<'env, u32>) -> Data<()>;
    let all: [(&str, Describe); 6] = [
        ("many", |_, x| x.flat_map(|x| 0..x).named("many").for_each_ordered(|_| ())),
        ("batches", |_, x| x.map_batch(|all| all).named("batches").for_each(|_| ())),
        ("both", |g, x| x.merge_by_key(g.source_fn(|| 0..9), |x| *x).named("both").for_each(|_| ())),
        ("chain", |g, x| g.source_fn(|| 0..9).chain(x.spooled()).named("chain").for_each(|_| ())),
        ("lines", |g, x| {
            g.split(b"a\nb", b'\n').named("lines").for_each_ordered(|_| ());
            x.for_each(|_| ())
        }),
        ("windows", |_, x| {
            let windows = x.key_by(|x| *x).windows(Windows::tumbling(9), |x| u64::from(*x), 0, |sum, x| *sum += x);
            windows.named("windows").for_each(|_| ())
        }),
    ];
    for (name, describe) in all {
        let proof = proof(describe);
        assert!(proof.unbounded().is_some_and(|why| why.operator().starts_with(name)), "{name}: {proof}");
    }
}

#[test]
fn no_more_is_in_flight_than_there_is() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let g = Graph::new();
    g.range(0..100_u64).batch_size(10).for_each_ordered(|_| ());
    let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
    assert!(proof.items_in_flight().is_some_and(|items| items >= 100), "{proof}");
}

#[test]
fn iterators_are_items_and_so_is_what_comes_out_of_them() {
    let items = proof(|_, x| x.expand(|x| 0..x).batch_size(5).credits(2).for_each_ordered(|_| ())).items_in_flight();
    assert_eq!(items, Some(30 + 10));
}

/// `explain()` bounds what lies between two stages by the same rates.
#[test]
fn nothing_is_said_of_what_lies_behind_an_operator_that_makes_any_number() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let behind = |describe: for<'env> fn(Stream<'env, u32>) -> Stream<'env, u32>| {
        let g = Graph::new();
        describe(g.source_fn(|| 0..1000_u32).boxed()).named("it").unordered().for_each(|_| ());
        let explain = g.plan(&pool).map(|plan| plan.explain().to_string()).expect("no defect");
        explain
            .lines()
            .find(|line| line.contains("it: out") || line.contains("> it"))
            .map(str::to_owned)
            .expect(&explain)
    };
    assert!(behind(|x| x.map(|x| x + 1).boxed()).contains("on their way"));
    assert!(behind(|x| x.scan((), |(), x| Some(x)).boxed()).contains("on their way"));
    assert!(!behind(|x| x.map_batch(|all| all).boxed()).contains("on their way"));
    assert!(!behind(|x| x.sorted_by_key(|x| *x).boxed()).contains("on their way"));
}
