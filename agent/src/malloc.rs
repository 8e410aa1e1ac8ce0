//! The C library's allocator, told to give memory back. The world of 10,000 pods is made anew with every change; left to
//! itself each thread keeps an arena of its own as large as the largest that it has seen.

/// From here on freed memory goes back to the kernel (mallopt(3)). To be called before any thread is started.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    const KEPT: i32 = 64 << 10;
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_TRIM_THRESHOLD, KEPT), (libc::M_MMAP_THRESHOLD, KEPT)] {
        set(parameter, value);
    }
}

/// What lies free between what is in use goes back as well (malloc_trim(3)). Other threads wait for memory meanwhile.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe wrapper around this function")]
pub fn trim() {
    // SAFETY: it takes how much to keep at the top, and touches only what is free.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

/// As above.
#[cfg(not(target_env = "gnu"))]
pub fn trim() {}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe wrapper around this function")]
fn set(parameter: i32, value: i32) {
    // SAFETY: it takes two numbers, and refuses those that it does not know.
    let known = unsafe { libc::mallopt(parameter, value) };
    debug_assert_eq!(known, 1, "parameter {parameter} of malloc");
}
