//~ E0597
//! What a task captures lives as long as the graph, so what it leaves in data does too.
use millstream::{Data, Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let long = String::from("long");
    let g = Graph::new();
    let word: Data<&str> = g.data(long.as_str());
    {
        let short = String::from("short");
        g.task(word.write(), |word| *word = short.as_str());
    }
    let mut plan = g.plan(&pool).expect("a plan");
    plan.run().expect("a run");
}
