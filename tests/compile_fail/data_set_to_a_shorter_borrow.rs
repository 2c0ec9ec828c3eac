//~ E0597
//! A handle to data is invariant: what is put into it lives as long as what its type says.
use millstream::{Data, Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let long = String::from("long");
    let g = Graph::new();
    let word: Data<&str> = g.data(long.as_str());
    let mut plan = g.plan(&pool).expect("a plan");
    {
        let short = String::from("short");
        plan.set(&word, short.as_str());
    }
    plan.take(word);
}
