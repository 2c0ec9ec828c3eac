//! With the feature `tbb`: compiles the one C++ file, and links the system's oneTBB.

fn main() {
    println!("cargo:rerun-if-changed=src/tbb.cpp");
    #[cfg(feature = "tbb")]
    {
        cc::Build::new().cpp(true).std("c++17").opt_level(3).file("src/tbb.cpp").compile("millstream_peers_tbb");
        println!("cargo:rustc-link-lib=tbb");
    }
}
