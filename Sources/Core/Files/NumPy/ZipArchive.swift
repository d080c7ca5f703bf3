//  The members of a zip archive, as numpy.savez and numpy.savez_compressed write them: stored or
//  deflated, of any size (Zip64), without encryption, on one disk.
//
//      end record     PK\5\6 … number of members, size and offset of the directory    (or PK\6\6 for Zip64)
//      directory      per member PK\1\2: method, CRC-32, sizes, offset of the local header, name
//      local header   PK\3\4, 30 bytes, name, extra; then the bytes of the member
//
//  The directory is believed, the local headers only as to where the bytes begin. Source: PKWARE,
//  APPNOTE.TXT, sections 4.3 to 4.5.

/// The directory of a zip archive.
struct ZipArchive {
    struct Member {
        let name: String
        /// 0 stored, 8 deflated.
        let method: Int
        let crc: UInt32
        /// The packed bytes in the file.
        let range: Range<Int>
        /// Bytes when unpacked.
        let size: Int
    }

    private(set) var members: [Member] = []
    private let place: String

    /// Reads the directory of a whole file.
    ///
    /// - Throws: `InputError`: `.truncated`, `.malformed`, `.unsupported`.
    init(_ bytes: UnsafeRawBufferPointer, place: String) throws(InputError) {
        self.place = place
        let fields = ZipFields(bytes, place: place)
        let (count, offset) = try fields.directory()
        var at = offset
        for _ in 0..<count {
            guard try fields.word(at) == 0x0201_4b50 else {
                throw fields.broken("no entry of the directory at byte \(at)")
            }
            let (flags, method) = (try fields.half(at + 8), try fields.half(at + 10))
            let (nameLength, extraLength) = (try fields.half(at + 28), try fields.half(at + 30))
            let name = String(decoding: try fields.bytes(at + 46, nameLength), as: UTF8.self)
            var entry = try (
                packed: fields.word(at + 20), size: fields.word(at + 24), local: fields.word(at + 42)
            )
            try fields.widen(&entry.size, &entry.packed, &entry.local, extra: at + 46 + nameLength, count: extraLength)
            guard flags & 1 == 0, method == 0 || method == 8 else {
                throw InputError(
                    .unsupported, in: "\(place): \(name)", expected: "a member that is stored or deflated",
                    found: flags & 1 == 1 ? "an encrypted one" : "method \(method)")
            }
            guard try fields.word(entry.local) == 0x0403_4b50 else { throw fields.broken("no header of \(name)") }
            let start = try entry.local + 30 + fields.half(entry.local + 26) + fields.half(entry.local + 28)
            guard entry.packed <= bytes.count - start, start <= bytes.count, method == 8 || entry.packed == entry.size
            else { throw fields.broken("\(entry.packed) bytes of \(name) at byte \(start)") }
            if !name.hasSuffix("/") {
                members.append(
                    Member(
                        name: name, method: method, crc: UInt32(truncatingIfNeeded: try fields.word(at + 16)),
                        range: start..<start + entry.packed, size: entry.size))
            }
            at += 46 + nameLength + extraLength + (try fields.half(at + 32))
        }
    }

    /// The bytes of a member, unpacked; checked by its CRC-32.
    func contents(of member: Member, in bytes: UnsafeRawBufferPointer) throws(InputError) -> [UInt8] {
        let place = "\(place): \(member.name)"
        let packed = UnsafeRawBufferPointer(rebasing: bytes[member.range])
        let contents = member.method == 0 ? Array(packed) : try Inflate.unpack(packed, size: member.size, place: place)
        guard crc32(contents) == member.crc else {
            throw InputError(
                .malformed, in: place, expected: "bytes with the CRC-32 of the directory", found: "others",
                remedy: "The archive is damaged; write or download it again.")
        }
        return contents
    }
}

/// Numbers in a zip archive, little-endian, each read within the file.
private struct ZipFields {
    private let bytes: UnsafeRawBufferPointer
    private let place: String

    init(_ bytes: UnsafeRawBufferPointer, place: String) { (self.bytes, self.place) = (bytes, place) }

    func broken(_ found: String) -> InputError {
        InputError(.malformed, in: place, expected: "a zip archive", found: found)
    }

    func bytes(_ at: Int, _ count: Int) throws(InputError) -> UnsafeRawBufferPointer {
        guard at >= 0, at <= bytes.count, count <= bytes.count - at else {
            throw InputError(
                .truncated, in: place, expected: "\(count) bytes at byte \(at)", found: "\(bytes.count) in all")
        }
        return UnsafeRawBufferPointer(rebasing: bytes[at..<at + count])
    }

    func half(_ at: Int) throws(InputError) -> Int {
        Int(UInt16(littleEndian: try bytes(at, 2).loadUnaligned(as: UInt16.self)))
    }

    func word(_ at: Int) throws(InputError) -> Int {
        Int(UInt32(littleEndian: try bytes(at, 4).loadUnaligned(as: UInt32.self)))
    }

    func long(_ at: Int) throws(InputError) -> Int {
        let value = UInt64(littleEndian: try bytes(at, 8).loadUnaligned(as: UInt64.self))
        guard let number = Int(exactly: value) else { throw broken("the size \(value)") }
        return number
    }

    /// How many members there are, and where the directory begins.
    func directory() throws(InputError) -> (count: Int, offset: Int) {
        var end = bytes.count - 22
        let last = max(end - 65_535, 0)  // a comment may follow
        while end >= last, try word(end) != 0x0605_4b50 { end -= 1 }
        guard end >= last else {
            throw InputError(
                .truncated, in: place, expected: "the end record of a zip archive", found: "none",
                remedy: "The file is cut off.")
        }
        let (count, offset) = (try half(end + 10), try word(end + 16))
        if count < 0xffff && offset < 0xffff_ffff { return (count, offset) }
        guard end >= 20, try word(end - 20) == 0x0706_4b50 else { throw broken("no locator of a Zip64 directory") }
        let record = try long(end - 12)
        guard try word(record) == 0x0606_4b50 else { throw broken("no Zip64 end record at byte \(record)") }
        let members = try long(record + 32)
        guard members <= bytes.count / 46 else { throw broken("\(members) members") }
        return (members, try long(record + 48))
    }

    /// Replaces sizes of 2^32 - 1 by those of the Zip64 extra field, in which only these stand.
    func widen(
        _ size: inout Int, _ packed: inout Int, _ local: inout Int, extra: Int, count: Int
    ) throws(InputError) {
        var at = extra
        while at + 4 <= extra + count {
            let (kind, length) = (try half(at), try half(at + 2))
            if kind == 1 {
                var field = at + 4
                func next(_ value: inout Int) throws(InputError) {
                    guard value == 0xffff_ffff else { return }
                    value = try long(field)
                    field += 8
                }
                try next(&size)
                try next(&packed)
                try next(&local)
                return
            }
            at += 4 + length
        }
    }
}

/// CRC-32 of zip and gzip: polynomial 0xedb88320, reflected, complemented before and after.
func crc32(_ bytes: [UInt8]) -> UInt32 {
    let table = (0..<256).map { i -> UInt32 in
        (0..<8).reduce(UInt32(i)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ value >> 1 : value >> 1 }
    }
    return table.withUnsafeBufferPointer { table in
        ~bytes.reduce(UInt32.max) { table[Int(($0 ^ UInt32($1)) & 0xff)] ^ $0 >> 8 }
    }
}
