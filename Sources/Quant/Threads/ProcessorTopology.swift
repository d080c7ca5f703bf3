//  Which processors this process may use, and how they lie: in cores, which may be two processors
//  each, and in NUMA nodes.
//
//      /sys/devices/system/cpu/cpu N/topology/thread_siblings_list      the processors of N's core
//      /sys/devices/system/node/node M/cpulist                          the processors of a node
//      /sys/fs/cgroup/…/cpu.max, cpu/cpu.cfs_quota_us                    what a control group leaves of their time
//      /sys/fs/cgroup/…/cpuset.cpus.effective                            which of them it leaves at all
//
//  Two processors of a core share its multipliers and its nearest caches, so that kernels which use
//  either to the full gain nothing from the second: a pool has as many threads as cores.

import DualityKernels
import Foundation

/// The processors of this machine that this process may use.
struct ProcessorTopology: Sendable, Equatable {
    struct Processor: Sendable, Equatable {
        let number: Int
        /// The lowest number among the processors of its core.
        let core: Int
        let node: Int
    }

    /// In ascending order; empty where the system does not say.
    let processors: [Processor]
    /// Of how many processors the control groups leave the time, rounded up; nil for no limit.
    let quota: Int?

    /// What the system says now.
    static let current: ProcessorTopology = {
        #if os(Linux)
            return ProcessorTopology(root: "/", allowed: allowed)
        #else
            return ProcessorTopology(processors: [], quota: nil)
        #endif
    }()

    /// What the system would leave a process that nobody has bound to some processors.
    static let host: ProcessorTopology = {
        #if os(Linux)
            return ProcessorTopology(root: "/", allowed: nil)
        #else
            return ProcessorTopology(processors: [], quota: nil)
        #endif
    }()

    init(processors: [Processor], quota: Int?) {
        (self.processors, self.quota) = (processors, quota)
    }

    /// - Parameters:
    ///   - root: where `sys` and `proc` are.
    ///   - allowed: the processors that the affinity mask has; nil for all that are online and that
    ///     control groups leave.
    init(root: String, allowed: [Int]?) {
        let root = root.hasSuffix("/") ? root : root + "/"
        let online = Self.cpuset(root) ?? Self.list(root + "sys/devices/system/cpu/online") ?? []
        let nodes = Self.nodes(root + "sys/devices/system/node/")
        processors = (allowed ?? online).sorted().map { number in
            let siblings = Self.list("\(root)sys/devices/system/cpu/cpu\(number)/topology/thread_siblings_list")
            return Processor(number: number, core: siblings?.min() ?? number, node: nodes[number] ?? 0)
        }
        quota = Self.quota(root)
    }

    /// Cores of which there is at least one processor.
    var coreCount: Int { Set(processors.map(\.core)).count }

    /// Threads of a pool that nobody has said a number for, at least 1: one per core, but no more
    /// than control groups leave time for. Nil where the system does not say.
    var threadCount: Int? { processors.isEmpty ? nil : max(min(coreCount, quota ?? .max), 1) }

    /// The same for each of some processes that share the machine.
    func share(ofRanks count: Int) -> Int? { threadCount.map { max($0 / max(count, 1), 1) } }

    /// The nodes, that of processor `here` first.
    func nodes(from here: Int?) -> [Int] {
        let first = processors.first { $0.number == here }?.node
        return Set(processors.map(\.node)).sorted { ($0 != first ? 1 : 0, $0) < ($1 != first ? 1 : 0, $1) }
    }

    /// For each of `count` threads, the first of them on processor `here`, the processors of a node
    /// that it is to stay on: a node has as many threads as cores before the next one has any, and
    /// what is over goes round. Nil on machines of one node, where the system places threads better
    /// than a rule would.
    func places(_ count: Int, from here: Int?) -> [[Int]]? {
        let nodes = nodes(from: here)
        guard nodes.count > 1 else { return nil }
        let byNode = nodes.map { node in processors.filter { $0.node == node } }
        let slots = byNode.flatMap { members in
            Array(repeating: members.map(\.number), count: Set(members.map(\.core)).count)
        }
        return (0..<count).map { slots[$0 % slots.count] }
    }

    // MARK: - What the system says

    /// Numbers of a list as the kernel writes it: `0-3,8`. Nil when there is none.
    static func list(_ path: String) -> [Int]? {
        guard let text = text(path) else { return nil }
        var numbers: [Int] = []
        for item in text.split(separator: ",") {
            let ends = item.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0,
                first <= last,
                last - first < 1 << 16
            else { return nil }
            numbers += first...last
        }
        return numbers.isEmpty ? nil : numbers
    }

    /// The node of each processor.
    private static func nodes(_ folder: String) -> [Int: Int] {
        var found: [Int: Int] = [:]
        for node in list(folder + "online") ?? [] {
            for number in list("\(folder)node\(node)/cpulist") ?? [] { found[number] = node }
        }
        return found
    }

    /// The tightest limit among the control group of this process and those around it.
    private static func quota(_ root: String) -> Int? {
        let groups = root + "sys/fs/cgroup"
        var limits: [Double] = []
        var path = ownGroup(root)
        while true {
            if let fields = text(groups + path + "/cpu.max")?.split(separator: " "), fields.count == 2,
                let time = Double(fields[0]), let period = Double(fields[1]), period > 0
            {
                limits.append(time / period)
            }
            guard let slash = path.lastIndex(of: "/"), path.count > 1 else { break }
            path = slash == path.startIndex ? "/" : String(path[..<slash])
        }
        if let time = text(groups + "/cpu/cpu.cfs_quota_us").flatMap({ Double($0) }), time > 0,
            let period = text(groups + "/cpu/cpu.cfs_period_us").flatMap({ Double($0) }), period > 0
        {
            limits.append(time / period)
        }
        return limits.min().map { max(Int(min($0, 4096).rounded(.up)), 1) }
    }

    /// The control group of this process.
    private static func ownGroup(_ root: String) -> String {
        let own = text(root + "proc/self/cgroup")?.split(separator: "\n").first { $0.hasPrefix("0::") }
        return own.map { String($0.dropFirst(3)) } ?? "/"
    }

    /// The processors that control groups leave this process; nil when they do not say.
    private static func cpuset(_ root: String) -> [Int]? {
        let groups = root + "sys/fs/cgroup"
        return list("\(groups)\(ownGroup(root))/cpuset.cpus.effective")
            ?? list(groups + "/cpuset.cpus.effective") ?? list(groups + "/cpuset/cpuset.effective_cpus")
    }

    private static func text(_ path: String) -> String? {
        (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

extension ProcessorTopology {
    /// Of an affinity mask, for machines of up to 65,536 processors.
    private static let maskBytes = 8192

    /// The processors that the affinity mask of this thread has; nil when the system does not say.
    private static var allowed: [Int]? {
        var mask = [UInt8](repeating: 0, count: maskBytes)
        let written = Int(dk_get_affinity(&mask, Int64(maskBytes)))
        let numbers = (0..<8 * written).filter { number in mask[number / 8] & (UInt8(1) << UInt8(number % 8)) != 0 }
        return numbers.isEmpty ? nil : numbers
    }

    /// The processor that this thread runs on at the moment; nil when the system does not say.
    static var here: Int? {
        let number = Int(dk_processor())
        return number >= 0 ? number : nil
    }

    /// Keeps this thread on some processors, where the system allows that.
    static func stay(on processors: [Int]) {
        var mask = [UInt8](repeating: 0, count: maskBytes)
        for number in processors where number / 8 < maskBytes { mask[number / 8] |= UInt8(1) << UInt8(number % 8) }
        _ = dk_set_affinity(mask, Int64(maskBytes))
    }
}
