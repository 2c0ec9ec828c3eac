//! Tiles of a matrix inside a graph.

use std::panic::panic_any;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream::{Data, Graph, Place, Pool, RunErrorKind, TileMut, TileRef, Tiles, Topology, reads};

fn pool() -> &'static Pool {
    static POOL: LazyLock<Pool> =
        LazyLock::new(|| Pool::builder().workers(2).oversubscribe(true).build().expect("threads"));
    &POOL
}

/// A matrix in which each item is its number.
fn numbers(height: usize, width: usize) -> Vec<usize> {
    (0..height * width).collect()
}

fn rows_of<T: Clone>(tile: TileRef<'_, T>) -> Vec<Vec<T>> {
    tile.rows().map(<[T]>::to_vec).collect()
}

#[test]
fn tiles_have_their_rows_and_columns_and_less_at_the_edges() {
    let g = Graph::new();
    let matrix = g.data(numbers(5, 7)).named("matrix");
    let tiles = g.tiles(&matrix, 7, (2, 3));
    assert_eq!((tiles.rows(), tiles.columns(), tiles.iter().count()), (3, 3, 9));
    let found: Vec<Data<Vec<Vec<usize>>>> = tiles.iter().map(|tile| g.task(tile.read(), rows_of)).collect();
    let mut run = pool().run(g).expect("nothing fails");
    let mut all = Vec::new();
    for (number, found) in found.into_iter().enumerate() {
        let (row, column) = (2 * (number / 3), 3 * (number % 3));
        let rows = row..5.min(row + 2);
        let expected: Vec<Vec<usize>> =
            rows.map(|row| (column..7.min(column + 3)).map(|column| 7 * row + column).collect()).collect();
        let found = run.take(found);
        assert_eq!(found, expected, "tile {number}");
        all.extend(found.into_iter().flatten());
    }
    all.sort_unstable();
    assert_eq!(all, numbers(5, 7), "each item is in one tile");
    assert_eq!(format!("{:?}", tiles.at(2, 0)), "Tile(Data(\"matrix[4..5, 0..3]\"))");
}

#[test]
fn a_tile_shows_its_items_in_all_ways() {
    let g = Graph::new();
    let matrix = g.data(numbers(4, 6));
    let tiles = g.tiles(&matrix, 6, (2, 2));
    g.task(
        (tiles.at(1, 1).write(), tiles.at(0, 2).read()),
        |(mut tile, other): (TileMut<'_, usize>, TileRef<'_, _>)| {
            assert_eq!((tile.height(), tile.width(), other.height(), other.width()), (2, 2, 2, 2));
            assert_eq!((tile.row(0), tile.row(1)), (&[14, 15][..], &[20, 21][..]));
            assert_eq!((other[(1, 0)], tile[(1, 0)], tile.read()[(0, 1)]), (10, 20, 15));
            assert_eq!(format!("{tile:?} {other:?}"), "[[14, 15], [20, 21]] [[4, 5], [10, 11]]");
            tile[(0, 0)] = 100;
            tile.row_mut(1)[1] = other.row(0)[0];
            assert_eq!(tile.rows().rev().flatten().copied().collect::<Vec<_>>(), [20, 4, 100, 15]);
            let mut rows: Vec<&mut [usize]> = tile.rows_mut().collect(); // several rows at once
            let (first, last) = rows.split_at_mut(1);
            first[0].swap_with_slice(last[0]);
            for (row, column) in [(2, 0), (0, 2)] {
                let outside = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other[(row, column)]));
                assert!(outside.is_err(), "({row}, {column}) is in the matrix, and not in the tile");
            }
        },
    );
    let matrix = pool().run(g).expect("nothing fails").take(matrix);
    let changed: Vec<_> = (0..).zip(matrix).filter(|(number, item)| number != item).collect();
    assert_eq!(changed, [(14, 20), (15, 4), (20, 100), (21, 15)]);
}

#[test]
fn tiles_are_written_at_the_same_time_and_the_whole_waits() {
    let g = Graph::new();
    let matrix = g.data(vec![0_u64; 16]);
    let arrived = AtomicU64::new(0);
    let tiles = g.tiles(&matrix, 4, (4, 2)); // side by side in all rows
    for tile in &tiles {
        let arrived = &arrived;
        g.task(tile.write(), move |mut tile| {
            arrived.fetch_add(1, Ordering::AcqRel);
            let begin = Instant::now();
            while arrived.load(Ordering::Acquire) < 2 {
                assert!(begin.elapsed() < Duration::from_secs(10), "the other tile is not written meanwhile");
                std::thread::yield_now();
            }
            tile.rows_mut().for_each(|row| row.fill(1));
        });
    }
    let sum = g.task(matrix.read(), |matrix| matrix.iter().sum::<u64>());
    assert_eq!(pool().run(g).expect("nothing fails").take(sum), 16);
}

/// How many edges there are between tasks.
fn edges(g: Graph<'_>) -> usize {
    let words = g.plan(pool()).expect("sound").explain().to_string();
    let edges = words.split(" edges between them").next().and_then(|before| before.rsplit(' ').next());
    edges.and_then(|edges| edges.parse().ok()).unwrap_or_else(|| panic!("no edges in {words}"))
}

#[test]
fn tiles_and_parts_wait_for_those_that_have_an_item_in_common() {
    let cut = |others: &dyn Fn(&Graph<'static>, &Data<Vec<u8>>)| {
        let g = Graph::new();
        let matrix = g.data(vec![0_u8; 8 * 6]); // 8 rows of 6
        g.tiles(&matrix, 6, (4, 3)).iter().for_each(|tile| drop(g.task(tile.write(), |_| ())));
        others(&g, &matrix);
        edges(g)
    };
    let write = |g: &Graph<'static>, tiles: Tiles<u8>| tiles.iter().for_each(|tile| drop(g.task(tile.write(), |_| ())));
    assert_eq!(cut(&|g, matrix| write(g, g.tiles(matrix, 6, (4, 3)))), 4, "the same tiles: each after itself");
    assert_eq!(cut(&|g, matrix| write(g, g.tiles(matrix, 6, (2, 3)))), 8, "halves of them");
    assert_eq!(cut(&|g, matrix| write(g, g.tiles(matrix, 6, (8, 2)))), 8, "columns: the middle one after all");
    assert_eq!(
        cut(&|g, matrix| write(g, g.tiles(matrix, 12, (4, 9)))),
        6,
        "another width: the right one after 2 and 4"
    );
    let write = |g: &Graph<'static>, matrix: &Data<Vec<u8>>, len: usize| {
        g.chunks(matrix, len).iter().for_each(|part| drop(g.task(part.write(), |_| ())));
    };
    assert_eq!(cut(&|g, matrix| write(g, matrix, 6)), 16, "rows");
    assert_eq!(cut(&|g, matrix| write(g, matrix, 3)), 16, "halves of rows");
    assert_eq!(cut(&|g, matrix| write(g, matrix, 26)), 5, "four rows and two items: after three; the rest after two");
}

/// One tiling that is made a thousand times, as a function that gets the data would, is as one.
#[test]
fn the_same_tiles_made_again_are_the_same() {
    let g = Graph::new();
    let matrix = g.data(vec![0_u32; 32 * 32]);
    for time in 0..1000 {
        let tiles = g.tiles(&matrix, 32, (4, 4));
        g.task(tiles.at(time % 8, time / 8 % 8).write(), move |mut tile| tile[(0, 0)] += 1);
    }
    let sum = g.task(matrix.read(), |matrix| matrix.iter().sum::<u32>());
    assert_eq!(pool().run(g).expect("nothing fails").take(sum), 1000);
}

#[test]
fn tiles_follow_the_length_of_the_data() {
    let g = Graph::new();
    let matrix = g.data(numbers(4, 3));
    let tiles = g.tiles(&matrix, 3, (3, 2));
    let found: Vec<_> = tiles.iter().map(|tile| g.task(tile.read(), rows_of)).collect();
    g.task(tiles.at(1, 1).write(), |mut tile| tile.rows_mut().for_each(|row| row.fill(0)));
    let mut plan = g.plan(pool()).expect("sound");
    for (len, heights) in
        [(12, [3, 3, 1, 1]), (0, [0; 4]), (2, [0; 4]), (8, [2, 2, 0, 0]), (11, [3, 3, 0, 0]), (100, [3, 3, 1, 1])]
    {
        plan.set(&matrix, (0..len).collect());
        plan.run().expect("nothing fails");
        for (number, (found, height)) in found.iter().zip(heights).enumerate() {
            let (row, columns) = (3 * (number / 2), if number % 2 == 0 { 0..2 } else { 2..3 });
            let items = |row: usize| columns.clone().map(|column| 3 * row + column).collect::<Vec<usize>>();
            assert_eq!(*plan.get(found), (row..row + height).map(items).collect::<Vec<_>>(), "tile {number} of {len}");
        }
    }
}

#[test]
fn any_number_of_tiles_is_read() {
    let g = Graph::new();
    let matrix = g.data(numbers(6, 6));
    let tiles = g.tiles(&matrix, 6, (2, 2));
    let column: Vec<_> = (0..3).map(|row| tiles.at(row, 1)).collect();
    let below = g.task((reads(column), tiles.at(0, 0).write()), |(column, mut sum)| {
        assert_eq!(
            (column.len(), column.get(3).is_none(), column.get(2).map(|tile| tile[(1, 1)])),
            (3, true, Some(33))
        );
        for tile in column.iter() {
            sum[(0, 0)] += tile.rows().flatten().sum::<usize>();
        }
        format!("{:?}", column.get(1))
    });
    let mut run = pool().run(g).expect("nothing fails");
    assert_eq!(run.take(below), "Some([[14, 15], [20, 21]])");
    assert_eq!(run.take(matrix)[0], (2 + 3 + 8 + 9) + (14 + 15 + 20 + 21) + (26 + 27 + 32 + 33));
}

#[test]
fn tiles_go_to_other_threads_where_their_items_may() {
    let g = Graph::new();
    let matrix = g.data(vec![1_u64; 64 * 64]);
    let tiles = g.tiles(&matrix, 64, (64, 32));
    g.task((tiles.at(0, 0).read(), tiles.at(0, 1).write()), |(left, mut right)| {
        let mut rows: Vec<&mut [u64]> = right.rows_mut().collect();
        pool().for_each_mut(&mut rows, |row, own| own.fill(left.row(row).iter().sum()));
        let right = &right;
        assert_eq!(pool().map_collect(0..64_usize, |row| right[(row, row / 2)]), [32; 64]);
    });
    assert_eq!(pool().run(g).expect("nothing fails").take(matrix).iter().sum::<u64>(), 64 * (32 + 32 * 32));
}

#[test]
fn handles_to_tiles_are_cloned_and_shown_whatever_the_items_are() {
    struct Opaque;
    let g = Graph::new();
    let matrix = g.data(vec![Opaque, Opaque]).named("matrix");
    let tiles = g.tiles(&matrix, 1, (1, 1));
    let words = format!("{:?}", tiles.clone());
    assert_eq!(words, r#"[Tile(Data("matrix[0..1, 0..1]")), Tile(Data("matrix[1..2, 0..1]"))]"#);
}

#[test]
fn items_without_size_are_tiled() {
    let g = Graph::new();
    let matrix = g.data(vec![(); usize::MAX]);
    let half = 1 << (usize::BITS / 2);
    let tiles = g.tiles(&matrix, half - 1, (half - 1, half - 2)); // a number without remainder times that
    let found: Vec<_> = tiles.iter().map(|tile| g.task(tile.read(), |tile| (tile.height(), tile.width()))).collect();
    let mut run = pool().run(g).expect("nothing fails");
    let found: Vec<_> = found.into_iter().map(|found| run.take(found)).collect();
    assert_eq!(found, [(half - 1, half - 2), (half - 1, 1), (2, half - 2), (2, 1)]);
}

#[test]
fn the_whole_is_absent_after_a_task_has_stopped_in_a_tile() {
    let g = Graph::new();
    let matrix = g.data(vec![String::from("whole"); 9]).named("matrix");
    let fails = g.data(true);
    for tile in &g.tiles(&matrix, 3, (2, 2)) {
        g.task((tile.write(), fails.read()), |(mut tile, fails)| {
            tile.rows_mut().flatten().for_each(|text| text.push('!'));
            if *fails {
                panic_any("trap");
            }
        });
    }
    let mut plan = g.plan(pool()).expect("sound");
    assert_eq!(plan.run().expect_err("it panics").kind(), &RunErrorKind::Panicked);
    assert_eq!(plan.try_get(&matrix), None);
    let error = plan.run().expect_err("half written");
    assert!(matches!(error.kind(), RunErrorKind::NotReady { name } if name == "matrix"), "{error}");
    plan.set(&matrix, vec![String::from("whole"); 9]);
    plan.set(&fails, false);
    plan.run().expect("nothing fails");
    assert!(plan.get(&matrix).iter().all(|text| text == "whole!"));
}

#[test]
fn tiles_are_at_home_with_their_data_or_where_they_are_told() {
    let g = Graph::new();
    let matrix = g.data(vec![0_u8; 64]).named("matrix").place(Place::Node(1));
    let tiles = g.tiles(&matrix, 8, (8, 4));
    g.task(tiles.at(0, 0).write(), |_| ()).named("here");
    g.task(tiles.at(0, 1).clone().named("right").place(Place::Node(0)).write(), |_| ()).named("elsewhere");
    let machine = Topology::synthetic("numa:2 core:8 pu:1").expect("a machine");
    let explain = g.plan_for(&machine).expect("sound").explain();
    let node = |name| explain.operator(name).and_then(|operator| operator.node());
    assert_eq!((node("here"), node("elsewhere"), node("right")), (Some(1), Some(0), Some(0)));
}

#[test]
fn pictures_show_who_finds_tiles_as_they_were_given() {
    let g = Graph::new();
    let matrix = g.data(vec![0; 16]).named("matrix");
    let tiles = g.tiles(&matrix, 4, (4, 2));
    for (tile, name) in tiles.iter().zip(["left", "right"]) {
        g.task(tile.write(), |_| ()).named(name);
    }
    g.task(g.chunks(&matrix, 2)[3].read(), |_| ()).named("after right");
    let words = g.plan(pool()).expect("sound").explain().to_mermaid();
    let arrows = words.lines().filter(|line| line.contains("-.->")).count();
    assert_eq!(arrows, 3, "matrix to left and right, and on:\n{words}");
}

#[track_caller]
fn assert_defect(g: Graph<'_>, words: &str) {
    let error = g.plan(pool()).map(drop).expect_err("it has defects");
    let found: Vec<String> = error.defects().iter().map(ToString::to_string).collect();
    assert!(found.len() == 1 && found[0].contains(words), "no '{words}' in {found:?}");
}

#[test]
fn defects_of_tiles() {
    let cases: [(usize, (usize, usize), &str); 4] = [
        (0, (1, 1), "its rows have no items: the width is 0"),
        (4, (0, 2), "tiles of 0 rows and 2 columns: they have at least 1 of each"),
        (4, (2, 0), "tiles of 2 rows and 0 columns: they have at least 1 of each"),
        (5, (2, 2), "12 items are no rows of 5: the last one is not full"),
    ];
    for (width, tile, words) in cases {
        let g = Graph::new();
        let tiles = g.tiles(&g.data(vec![0; 12]), width, tile);
        assert_eq!((tiles.rows(), tiles.columns(), tiles.iter().count()), (0, 0, 0));
        let place = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(tiles.at(0, 0).clone())));
        let payload = place.expect_err("there is none");
        let text = payload.downcast_ref::<String>().expect("text");
        assert_eq!(*text, format!("no tile (0, 0): there are 0 by 0: {words}"));
        assert_defect(g, words);
    }

    let g = Graph::new();
    let made = g.task((), |()| vec![0; 10]).named("made");
    assert_eq!(g.tiles(&made, 5, (1, 1)).rows(), 0);
    assert_defect(g, "it cuts 'made', whose length is not known before a run");

    let (g, other) = (Graph::new(), Graph::new());
    assert_eq!(g.tiles(&other.data(vec![0; 10]), 5, (1, 1)).rows(), 0);
    assert_defect(g, "it cuts data of another graph");

    let g = Graph::new();
    let matrix = g.data(vec![0; 16]).named("matrix");
    let (tiles, columns) = (g.tiles(&matrix, 4, (2, 2)), g.tiles(&matrix, 4, (4, 1)));
    g.task((tiles.at(0, 0).write(), columns.at(0, 2).write(), tiles.at(1, 0).read()), |_| ()); // nothing in common
    g.task((tiles.at(0, 1).write(), columns.at(0, 2).read()), |_| ()).named("both");
    assert_defect(g, "'matrix[0..4, 2..3]', which overlap, and not only for reading");

    let g = Graph::new();
    let matrix = g.data(vec![0; 16]).named("matrix");
    let tiles = g.tiles(&matrix, 4, (2, 2));
    g.task((tiles.at(0, 1).read(), matrix.read(), tiles.at(0, 1).read()), |_| ()); // all read
    g.task((tiles.at(0, 1).write(), matrix.read()), |_| ());
    assert_defect(g, "which overlap, and not only for reading");
}

#[test]
fn data_without_items_has_no_tiles() {
    let g = Graph::new();
    let matrix = g.data(Vec::<u8>::new());
    let tiles = g.tiles(&matrix, 4, (2, 2));
    assert_eq!((tiles.rows(), tiles.columns()), (0, 0));
    let len = g.task(matrix.read(), Vec::len);
    assert_eq!(pool().run(g).expect("nothing fails").take(len), 0);
}
