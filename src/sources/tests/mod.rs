//! Records of texts, however they are cut; iterators, whatever they say of themselves.

use proptest::prelude::*;

use crate::graph::Graph;
use crate::pool::Pool;

/// What `split_all` promises: every text is split by itself, and the last record of each counts only if it is not
/// empty.
fn records(texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let of_one = |text: &Vec<u8>| {
        let mut records: Vec<Vec<u8>> = text.split(|byte| *byte == b';').map(<[u8]>::to_vec).collect();
        if records.last().is_some_and(Vec::is_empty) {
            records.pop();
        }
        records
    };
    texts.iter().flat_map(of_one).collect()
}

proptest! {
    #[test]
    fn records_do_not_depend_on_how_texts_are_cut(
        texts in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"ab;"[..]), 0..30), 0..8),
        bytes in prop::option::of(1..40_usize),
    ) {
        let pool = Pool::builder().workers(2).build().expect("threads");
        let borrowed: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let joined = texts.concat();
        let g = Graph::new();
        let records_of_all = match bytes {
            Some(bytes) => g.split_all(&borrowed, b';').batch_size(bytes).map(<[u8]>::to_vec).collect(),
            None => g.split_all(&borrowed, b';').map(<[u8]>::to_vec).collect(),
        };
        let records_of_one = g.split(&joined, b';').map(<[u8]>::to_vec).collect();
        let mut run = pool.run(g).expect("runs");
        prop_assert_eq!(run.take(records_of_all), records(&texts));
        prop_assert_eq!(run.take(records_of_one), records(std::slice::from_ref(&joined)));
    }

    #[test]
    fn integers_of_every_width(start in any::<i16>(), len in 0..3000_u16) {
        let pool = Pool::builder().workers(2).build().expect("threads");
        let end = start.saturating_add_unsigned(len);
        let g = Graph::new();
        let some = g.range(start..end).collect();
        let none = g.range(end..start).collect();
        let bytes = g.range(i8::MIN..i8::MAX).collect();
        let high = g.range(u64::MAX - 5..u64::MAX).collect();
        let mut run = pool.run(g).expect("runs");
        prop_assert!(run.take(some).into_iter().eq(start..end));
        prop_assert!(run.take(none).into_iter().eq(end..start));
        prop_assert!(run.take(bytes).into_iter().eq(i8::MIN..i8::MAX));
        prop_assert!(run.take(high).into_iter().eq(u64::MAX - 5..u64::MAX));
    }
}

/// As many items as there are, and another number that it says. None: it panics when it is asked.
struct Wrong {
    left: u64,
    says: Option<usize>,
}

impl Iterator for Wrong {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        Some(self.left)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let says = self.says.expect("asked");
        (says, Some(says))
    }
}

#[test]
fn what_an_iterator_says_of_its_length_need_not_be_so() {
    let pool = Pool::builder().workers(2).build().expect("threads");
    for left in [0, 1, 10, 5000] {
        for says in [0, 1, 10, 5000, 1 << 20, usize::MAX] {
            let g = Graph::new();
            let items = g.source(Wrong { left, says: Some(says) }).collect();
            let items = pool.run(g).expect("runs").take(items);
            assert!(items.into_iter().eq((0..left).rev()), "{left} items, said to be {says}");
        }
    }
    let g = Graph::new();
    let _count = g.source(Wrong { left: 5000, says: None }).count();
    let failed = pool.run(g).expect_err("the iterator panics");
    assert!(failed.to_string().contains("asked"), "{failed}");
}
