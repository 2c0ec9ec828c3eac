//~ E0277 `retry` can only be said right behind
//! Only an operator that keeps its item can be tried again.
use millstream::Graph;

fn main() {
    let g = Graph::new();
    g.source([1, 2]).try_map_ref(|x: &i32| Ok::<_, String>(x + 1)).map(|x| x + 1).retry(3).for_each(drop);
}
