//  What one fork and join of the engine's threads costs.
//
//      swift run -c release --package-path Benchmarks forkjoin [--threads 2]
//
//  An empty job with a part for every thread, timed from the call to its return: again at once, as
//  between the products of a layer (workers still spin); after a pause of 20 microseconds in which
//  the caller works alone; and after 2 milliseconds (workers sleep and are woken, and the caller
//  may have done their parts before they come). "All take part" is of jobs whose parts wait until
//  all have begun, so that no thread can do another's.

import DualityQuant
import Foundation
import Measure
import Synchronization

let threads = option("--threads", 2)
let pool = ThreadPool(threads: threads)

/// Nanoseconds.
func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

func spin(nanoseconds: UInt64) {
    let end = now() + nanoseconds
    while now() < end {}
}

/// Microseconds of `count` jobs, sorted.
func measure(_ count: Int, pause: UInt64, meets: Bool) -> [Double] {
    var times: [Double] = []
    times.reserveCapacity(count)
    let begun = Atomic<Int>(0)
    for _ in 0..<count {
        if pause >= 1_000_000 { usleep(UInt32(pause / 1000)) } else if pause > 0 { spin(nanoseconds: pause) }
        begun.store(0, ordering: .relaxed)
        let start = now()
        pool.run(threads) { _, _ in
            guard meets else { return }
            begun.add(1, ordering: .acquiringAndReleasing)
            while begun.load(ordering: .acquiring) < threads {}
        }
        times.append(Double(now() - start) * 1e-3)
    }
    return times.sorted()
}

let widths = [34, 9, 9, 9, 9]
let pauses: [(name: String, nanoseconds: UInt64, jobs: Int)] = [
    ("at once", 0, 100_000), ("after 20 us", 20_000, 20_000), ("after 2 ms", 2_000_000, 500),
]
show(["\(threads) threads, microseconds", "median", "10 %", "90 %", "99 %"], widths: widths)
for meets in [false, true] {
    for (name, pause, jobs) in pauses {
        _ = measure(100, pause: 0, meets: meets)
        let times = measure(jobs, pause: pause, meets: meets)
        let quantiles = [0.5, 0.1, 0.9, 0.99].map { text(times[min(Int($0 * Double(jobs)), jobs - 1)], 2) }
        show([(meets ? "all take part, " : "whoever comes, ") + name] + quantiles, widths: widths)
    }
}
