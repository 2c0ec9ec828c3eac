//~ E0597
//! As with `set`, through a reference to the data.
use millstream::{Data, Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let long = String::from("long");
    let g = Graph::new();
    let word: Data<&str> = g.data(long.as_str());
    let mut plan = g.plan(&pool).expect("a plan");
    {
        let short = String::from("short");
        *plan.get_mut(&word) = short.as_str();
    }
    plan.take(word);
}
