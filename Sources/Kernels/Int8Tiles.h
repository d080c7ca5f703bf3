//  The tables of int8 tiles, by number of rows; the instruction set's file has defined the tiles.

#define INT8_TILE_ENTRY(R) [R] = int8_tile_##R,
#define INT8_STREAM_ENTRY(R) [R] = int8_stream_##R,
#define INT8_GROUP_TILE_ENTRY(R) [R] = int8_group_tile_##R,
static int8_tile *const int8Tiles[TILE + 1] = {FOR_EACH_TILE(INT8_TILE_ENTRY)};
static int8_stream *const int8Streams[TILE + 1] = {FOR_EACH_TILE(INT8_STREAM_ENTRY)};
static int8_group_tile *const int8GroupTiles[TILE + 1] = {FOR_EACH_TILE(INT8_GROUP_TILE_ENTRY)};
