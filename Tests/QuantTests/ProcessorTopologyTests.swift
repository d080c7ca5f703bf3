import Foundation
import Testing

@testable import DualityQuant

/// Machines as the system would describe them, in a folder.
@Suite struct ProcessorTopologyTests {
    /// Writes files under a folder of their own and gives its path to `body`.
    private func withRoot(_ files: [String: String], _ body: (String) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("topology-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: root) }
        for (path, text) in files {
            let file = root.appendingPathComponent(path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        try body(root.path)
    }

    /// Two nodes of two cores of two processors: 0 and 4, 1 and 5 | 2 and 6, 3 and 7.
    private static let server: [String: String] = {
        var files = [
            "sys/devices/system/cpu/online": "0-7\n", "sys/devices/system/node/online": "0-1\n",
            "sys/devices/system/node/node0/cpulist": "0-1,4-5\n", "sys/devices/system/node/node1/cpulist": "2-3,6-7\n",
        ]
        for i in 0..<8 {
            files["sys/devices/system/cpu/cpu\(i)/topology/thread_siblings_list"] = "\(i % 4),\(i % 4 + 4)\n"
        }
        return files
    }()

    @Test func coresAndNotTheirProcessorsAreCounted() throws {
        try withRoot(Self.server) { root in
            let all = ProcessorTopology(root: root, allowed: nil)
            #expect(all.processors.count == 8 && all.coreCount == 4 && all.threadCount == 4)
            #expect(ProcessorTopology(root: root, allowed: [0, 4]).threadCount == 1)
            #expect(ProcessorTopology(root: root, allowed: [5, 2, 3]).threadCount == 3)
        }
    }

    /// Of 4 cores with 8 processors two ranks have 2 each, whatever the launcher binds them to.
    @Test func aRanksShareIsOfCores() throws {
        try withRoot(Self.server) { root in
            let host = ProcessorTopology(root: root, allowed: nil)
            #expect([0, 1, 2, 3, 9].map { host.share(ofRanks: $0) } == [4, 4, 2, 1, 1])
        }
        #expect(ProcessorTopology(processors: [], quota: 3).share(ofRanks: 2) == nil)
    }

    @Test(arguments: [
        ["sys/fs/cgroup/cpuset.cpus.effective": "0-1,4-5\n"],
        ["sys/fs/cgroup/cpuset/cpuset.effective_cpus": "0-1,4-5\n"],
        [
            "sys/fs/cgroup/cpuset.cpus.effective": "0-7\n", "sys/fs/cgroup/one/cpuset.cpus.effective": "0-1,4-5\n",
            "proc/self/cgroup": "0::/one\n",
        ],
    ]) func processorsThatAControlGroupKeepsAreNotTheHosts(group: [String: String]) throws {
        try withRoot(Self.server.merging(group) { $1 }) { root in
            #expect(ProcessorTopology(root: root, allowed: nil).threadCount == 2)
            #expect(ProcessorTopology(root: root, allowed: [0, 1, 2]).threadCount == 3)
        }
    }

    @Test func threadsFillTheNodeOfTheCallerFirst() throws {
        try withRoot(Self.server) { root in
            let machine = ProcessorTopology(root: root, allowed: nil)
            let (near, far) = ([2, 3, 6, 7], [0, 1, 4, 5])
            #expect(machine.nodes(from: 6) == [1, 0])
            #expect(machine.places(5, from: 6) == [near, near, far, far, near])
            #expect(machine.places(2, from: nil) == [far, far])
            #expect(ProcessorTopology(root: root, allowed: [0, 1]).places(2, from: 0) == nil, "one node")
        }
    }

    @Test(arguments: [
        ("max 100000", 4), ("150000 100000", 2), ("50000 100000", 1), ("900000 100000", 4), ("0 0", 4), ("", 4),
    ])
    func aControlGroupLimitsThreads(limit: String, threads: Int) throws {
        var files = Self.server
        files["proc/self/cgroup"] = "0::/one/two\n"
        files["sys/fs/cgroup/one/cpu.max"] = limit
        files["sys/fs/cgroup/one/two/cpu.max"] = "max 100000\n"
        try withRoot(files) { root in
            #expect(ProcessorTopology(root: root, allowed: nil).threadCount == threads)
        }
    }

    @Test func theOlderControlGroupsLimitThreadsToo() throws {
        var files = Self.server
        files["sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "300000\n"
        files["sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000\n"
        try withRoot(files) { root in
            #expect(ProcessorTopology(root: root, allowed: nil).threadCount == 3)
        }
    }

    @Test func whatIsNotSaidOrMakesNoSenseIsNoProcessor() throws {
        try withRoot([:]) { root in
            #expect(ProcessorTopology(root: root, allowed: nil).threadCount == nil)
            #expect(ProcessorTopology(root: root, allowed: [3, 9]).threadCount == 2)
        }
        for text in ["", "-", "3-1", "a", "0-99999999", "1,,x", "-5"] {
            try withRoot(["list": text]) { root in #expect(ProcessorTopology.list(root + "/list") == nil, "\(text)") }
        }
    }

    @Test func thisMachineHasAProcessorForUs() {
        #expect(ThreadPool.processorCount >= 1)
        let machine = ProcessorTopology.current
        #if os(Linux)
            #expect(!machine.processors.isEmpty)
            #expect(machine.processors.contains { $0.number == ProcessorTopology.here })
        #endif
        #expect(ThreadPool.processorCount <= max(machine.processors.count, ProcessInfo.processInfo.processorCount))
    }
}
