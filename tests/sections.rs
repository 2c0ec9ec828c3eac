//! Parts of a graph with names of their own.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::LazyLock;

use millstream::{Data, Graph, Pool, RunErrorKind};

fn pool() -> &'static Pool {
    static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::builder().workers(2).build().expect("threads"));
    &POOL
}

/// Steps of a solver, each a function that gets the graph.
fn assembly(g: &Graph<'_>) -> Data<Vec<u64>> {
    let matrix = g.data(vec![0; 4]).named("matrix");
    g.task(matrix.write(), |matrix| matrix.fill(2)).named("fill");
    matrix
}

fn solution(g: &Graph<'_>, matrix: &Data<Vec<u64>>) -> Data<u64> {
    let sums: Vec<Data<u64>> = g.section("sums", |g| {
        let parts = g.chunks(matrix, 2);
        parts.iter().map(|part| g.task(part.read(), |part| part.iter().sum()).named("sum")).collect()
    });
    g.section("end", |g| g.task(millstream::reads(&sums), |sums| sums.iter().sum()).named("all"))
}

#[test]
fn a_report_sums_up_sections_and_those_in_them() {
    let g = Graph::new();
    let matrix = g.section("assembly", assembly);
    let answer = g.section("solution", |g| solution(g, &matrix));
    let outside = g.task(answer.read(), |answer| answer + 1).named("outside");
    let mut run = pool().run(g).expect("nothing fails");
    let report = run.report();
    let sections: Vec<_> =
        report.sections().iter().map(|section| (section.name(), section.depth(), section.tasks())).collect();
    let expected = [("assembly", 0, 1), ("solution", 0, 3), ("solution/sums", 1, 2), ("solution/end", 1, 1)];
    assert_eq!(sections, expected);
    for section in report.sections() {
        let inside = |name: &str| name.starts_with(&format!("{}/", section.name()));
        let time = report.operators().iter().filter(|operator| inside(operator.name())).map(|operator| operator.time());
        assert_eq!(section.time(), time.sum(), "{}", section.name());
        assert_eq!(section.operators(), 0);
    }
    let of = |name: &str| report.operator(name).map(|operator| operator.section());
    assert_eq!(of("solution/sums/sum"), Some(Some(2)));
    assert_eq!((of("assembly/fill"), of("outside"), of("fill")), (Some(Some(0)), Some(None), None));
    let table = report.to_string();
    let titles = |line: &&str| line.split_whitespace().eq(["section", "operators", "tasks", "time", "share"]);
    let rows: Vec<&str> = table.lines().skip_while(|line| !titles(line)).skip(1).take(4).collect();
    let begin = |row: &&str| {
        row[..row.trim_start().find(' ').map_or(row.len(), |end| end + row.len() - row.trim_start().len())].to_owned()
    };
    assert_eq!(rows.iter().map(begin).collect::<Vec<_>>(), ["assembly", "solution", "  sums", "  end"], "{table}");
    assert_eq!((run.take(answer), run.take(outside)), (8, 9));
}

#[test]
fn streams_go_through_sections_and_names_of_one_kind_are_one() {
    let g = Graph::new();
    let numbers = g.section("input", |g| g.range(0..100_u64).named("numbers"));
    let even = g.section("step", |_| numbers.filter(|x| x % 2 == 0).named("even"));
    let sum = g.section("step", |_| even.scan(0, |sum, x| Some(*sum + x)).named("scan").sum::<u64>());
    let mut plan = g.plan(pool()).expect("sound");
    let words = plan.explain().to_string();
    assert!(words.contains("stage 0: input/numbers > step/even > step/scan"), "{words}");
    assert!(words.contains("section input: 1 operator\n") && words.contains("section step: 4 operators\n"), "{words}");
    assert!(plan.explain().operator("step/even").is_some());
    plan.run().expect("nothing fails");
    let report = plan.report();
    let sections: Vec<_> = report.sections().iter().map(|section| (section.name(), section.operators())).collect();
    assert_eq!(sections, [("input", 1), ("step", 4)], "{report}");
    assert_eq!(report.section("step").map(|section| section.time() <= report.busy_time()), Some(true));
    assert_eq!(plan.take(sum), 2450);
}

#[test]
fn errors_and_defects_name_sections() {
    let g = Graph::new();
    let fails = g.section("assembly", |g| {
        let fails = g.data(true).named("fails");
        g.repeat(2, |g| {
            g.section("step", |g| {
                g.task(fails.write(), |fails| {
                    if *fails {
                        panic_any("trap")
                    }
                })
                .named("fill");
            });
        });
        fails
    });
    let mut plan = g.plan(pool()).expect("sound");
    let error = plan.run().expect_err("it panics");
    assert_eq!((error.kind(), error.operator()), (&RunErrorKind::Panicked, Some("assembly/step/fill")));
    let error = plan.run().expect_err("half written");
    assert!(matches!(error.kind(), RunErrorKind::NotReady { name } if name == "assembly/fails"), "{error}");
    assert!(error.to_string().contains("'assembly/step/fill' stopped while it wrote it"), "{error}");
    plan.set(&fails, false);
    plan.run().expect("nothing fails");
    assert_eq!(plan.report().section("assembly/step").map(|step| step.tasks()), Some(2), "each time counts");

    let g = Graph::new();
    g.section("assembly", |g| {
        let matrix = g.data(vec![0; 4]).named("matrix");
        let tiles = g.tiles(&matrix, 2, (1, 1));
        g.task((tiles.at(0, 1).write(), matrix.read()), |_| ()).named("fill");
    });
    let error = g.plan(pool()).map(drop).expect_err("it has a defect").to_string();
    assert!(error.contains("assembly/fill"), "{error}");
    assert!(error.contains("'assembly/matrix' and 'assembly/matrix[0..1, 1..2]', which overlap"), "{error}");
}

#[test]
fn a_panic_in_a_section_ends_it() {
    let g = Graph::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        g.section("outer", |g| {
            g.section("inner", |g| {
                g.task((), |()| 1).named("one");
                panic_any("trap");
            });
        });
    }));
    assert!(panicked.is_err());
    let two = g.section("next", |g| g.task((), |()| 2).named("two"));
    let three = g.task((), |()| 3).named("three");
    let mut run = pool().run(g).expect("nothing fails");
    let report = run.report();
    let names: Vec<&str> = report.operators().iter().map(|operator| operator.name()).collect();
    assert_eq!(names, ["outer/inner/one", "next/two", "three"]);
    assert_eq!((run.take(two), run.take(three)), (2, 3));
}

#[test]
fn without_sections_nothing_is_said_of_them() {
    let g = Graph::new();
    g.task((), |()| ()).named("alone");
    let plan = g.plan(pool()).expect("sound");
    assert!(!plan.explain().to_string().contains("section"));
    assert!(plan.report().sections().is_empty() && !plan.report().to_string().contains("section"));

    let g = Graph::new();
    let x = g.section("given", |g| g.data(1_u8));
    let plan = pool().run(g).expect("nothing fails");
    assert_eq!(plan.report().section("given").map(|given| (given.tasks(), given.operators())), Some((0, 0)));
    assert!(plan.explain().to_string().contains("section given: nothing that runs"));
    assert_eq!(*plan.get(&x), 1);
}
