// A systolic array of up to 16 x 16 cells, weight or output stationary. Written from SPEC.md.
`default_nettype none

// Between cells: 1 to 3 registers in a row.
module hops #(parameter W = 1) (input wire clk, input wire [5:0] n, input wire [W-1:0] in, output wire [W-1:0] out);
  reg [W-1:0] first = 0, second = 0, third = 0;
  always @(posedge clk) begin
    first <= in;
    second <= first;
    third <= second;
  end
  assign out = n == 1 ? first : n == 2 ? second : third;
endmodule

// At an edge: 0 to 63 clocks of delay.
module skew #(parameter W = 1) (input wire clk, input wire [5:0] n, input wire [W-1:0] in, output wire [W-1:0] out);
  reg [W-1:0] ring [0:63];
  reg [5:0] at = 0;
  integer j;
  initial for (j = 0; j < 64; j = j + 1) ring[j] = 0;
  always @(posedge clk) begin
    ring[at] <= in;
    at <= at + 1;
  end
  assign out = n == 0 ? in : ring[at - n];
endmodule

`define TAG 31 /* valid, first, last, accumulate, columns (5), rows (5), accumulator (16), spare */
`define TAG_VALID 30
`define TAG_FIRST 29
`define TAG_LAST 28
`define TAG_ADD 27
`define TAG_COLUMNS 26:22
`define TAG_ROWS 21:17
`define TAG_AT 15:0
`define LEFT (`TAG + 8)      /* tag, operand */
`define TOP (1 + 5 + 16)     /* valid, first row of the group, two weights; output stationary: the operand in the lower half */
`define PSUM (`TAG + 32)

// The accumulator of a column (weight stationary) or of a cell: what is added is there in the next clock, and said.
module accumulator #(parameter DEPTH = 16) (
    input wire clk, input wire [31:0] cycle, input wire on, input wire add, input wire [15:0] at, input wire [15:0] row, input wire [15:0] column,
    input wire [31:0] value);
  reg [31:0] kept [0:DEPTH-1];
  wire [31:0] sum = value + (add ? kept[at] : 0);
  always @(posedge clk) if (on) begin
    kept[at] <= sum;
    $display("r %0d %0d %0d %0d %0d", cycle + 1, at, row, column, $signed(sum));
  end
endmodule

// Its place comes in on wires: one module that all cells share compiles in a fraction of the time that 256 do.
module cell_of_array (
    input wire clk, input wire [31:0] cycle, input wire [15:0] row, input wire [15:0] column, input wire output_stationary, input wire shadow_on, input wire [1:0] load_rows,
    input wire [5:0] hop, input wire [5:0] psum_hop,
    input wire [`LEFT-1:0] left, output wire [`LEFT-1:0] right, input wire [`TOP-1:0] above, output wire [`TOP-1:0] below,
    input wire [`PSUM-1:0] psum, output wire [`PSUM-1:0] psum_out);
  /*verilator no_inline_module*/
  wire [`TAG-1:0] tag = left[8 +: `TAG];
  wire signed [7:0] a = left[7:0];
  wire [4:0] group = above[20:16];
  wire hit = above[21] & !output_stationary & row >= {11'b0, group} & row < {11'b0, group} + {14'b0, load_rows};

  reg signed [7:0] active = 0, shadow = 0;
  wire signed [7:0] w = shadow_on & tag[`TAG_FIRST] ? shadow : active;
  wire signed [7:0] loaded = row == {11'b0, group} ? above[7:0] : above[15:8];
  always @(posedge clk) begin
    if (shadow_on) active <= w;
    if (hit & shadow_on) shadow <= loaded;
    if (hit & !shadow_on) active <= loaded;
  end
  wire signed [31:0] product = a * (output_stationary ? $signed(above[7:0]) : w);

  // weight stationary: the sum goes on down; the tag of the first row's operand goes with it
  wire [`PSUM-1:0] arriving = row == 0 ? {tag, 32'b0} : psum;
  wire [`PSUM-1:0] leaving = {arriving[32 +: `TAG], arriving[31:0] + product};
  hops #(`PSUM) down(clk, psum_hop, leaving, psum_out);

  // output stationary: the sum stays
  reg signed [31:0] sum = 0;
  reg [`TAG-1:0] done = 0;
  always @(posedge clk) if (output_stationary) begin
    if (tag[`TAG_VALID]) sum <= tag[`TAG_FIRST] ? product : sum + product;
    done <= tag[`TAG_VALID] & tag[`TAG_LAST] ? tag : 0;
  end
  wire counts = row < done[`TAG_ROWS] & column < done[`TAG_COLUMNS];
  accumulator #(256) own(clk, cycle, output_stationary & done[`TAG_VALID] & counts, done[`TAG_ADD], done[`TAG_AT], row, column, sum);

  hops #(`LEFT) across(clk, hop, left, right);
  hops #(`TOP) weights(clk, output_stationary ? hop : psum_hop, above, below);
endmodule

module systolic #(parameter N = 16) (
    input wire clk,
    input wire output_stationary, input wire shadow, input wire [1:0] load_rows, input wire [4:0] rows, input wire [5:0] hop, input wire [5:0] psum_hop,
    input wire [1:0] mutant,      // 1: cells delay sums by a register more than the edges expect; 2: streams a clock before the load is over
                                  // 3: weights are not kept from the stream that still needs the old ones
    input wire [15:0] tiles, output wire idle,
    input wire write, input wire [1:0] which, input wire [15:0] at, input wire [127:0] data); // before the first clock with run
  reg [7:0] a_of [0:65535], b_of [0:65535];
  reg [127:0] tile_of [0:255];  // chained, add (the lowest bits of 16), gap, m, n, k, a, b, accumulator (16 bits each)
  reg [31:0] cycle = 0;
  reg running = 0;
  always @(posedge clk) begin
    if (write & which == 0) a_of[at] <= data[7:0];
    if (write & which == 1) b_of[at] <= data[7:0];
    if (write & which == 2) tile_of[at[7:0]] <= data;
    if (write & which == 3) running <= 1;
    if (running) cycle <= cycle + 1;
  end

  // ---- control: one tile streams, the next is loaded or waits
  reg [15:0] next = 0;          // the tile that waits
  reg [15:0] loading = 0;       // groups of rows of it that have entered
  reg load_begun = 0, load_done = 0;
  reg [31:0] since = 0;         // clocks since the last tile began that was not chained
  reg [15:0] fed = 0, length = 0; // of the tile that streams
  reg [127:0] now = 0;
  wire streaming = fed < length;
  wire [127:0] waiting = tile_of[next[7:0]];
  wire issued = running & next < tiles & (next == 0 | waiting[112] | since >= {16'b0, waiting[111:96]});
  wire loaded = output_stationary ? issued : load_done | (mutant == 2 & load_begun & loading + 1 >= groups(waiting));
  wire go = running & next < tiles & loaded & !streaming;
  wire [127:0] streams = go ? waiting : now;
  wire [15:0] step = go ? 0 : fed;
  wire feeding = go | streaming;

  function [15:0] groups(input [127:0] t);
    groups = (t[63:48] + {14'b0, load_rows} - 1) / {14'b0, load_rows};
  endfunction

  wire [15:0] candidate = go ? next + 1 : next;
  wire [127:0] tile = tile_of[candidate[7:0]];
  wire [31:0] passed = go & !waiting[112] ? 0 : since;
  wire due = candidate == 0 | tile[112] | passed >= {16'b0, tile[111:96]};
  wire free = shadow | !feeding | mutant == 3;
  wire fresh = go | !load_begun;
  wire load_now = running & !output_stationary & candidate < tiles & (fresh ? due & free : !load_done);
  wire [15:0] group = fresh ? 0 : loading;
  assign idle = next == tiles & !streaming;
  always @(posedge clk) if (running) begin
    since <= passed + 1;
    next <= candidate;
    if (go) now <= waiting;
    if (go) length <= output_stationary ? waiting[63:48] : waiting[95:80];
    if (feeding) fed <= step + 1;
    load_begun <= load_now | (!go & load_begun);
    load_done <= load_now ? group + 1 >= groups(tile) : !go & load_done;
    if (load_now) loading <= group + 1;
  end

  // ---- edges: operands from the left and from the top, skewed
  wire [15:0] m = streams[95:80], n = streams[79:64], k = streams[63:48], a_at = streams[47:32], b_at = streams[31:16];
  wire [15:0] accumulator_at = streams[15:0] + (output_stationary ? 0 : step);
  wire last = step + 1 == (output_stationary ? k : m);
  wire [`TAG-1:0] tag = feeding ? {1'b1, step == 0, last, streams[113], n[4:0], m[4:0], 1'b0, accumulator_at} : 0;
  wire [`LEFT-1:0] lefts [0:N-1][0:N];
  wire [`TOP-1:0] tops [0:N][0:N-1];
  wire [`PSUM-1:0] psums [0:N][0:N-1];
  wire [5:0] registers = psum_hop + (mutant == 1 ? 1 : 0);
  genvar r, c;
  generate
    for (r = 0; r < N; r = r + 1) begin : row
      wire used = r < (output_stationary ? m : k);
      wire [15:0] from = output_stationary ? a_at + r * k + step : a_at + step * k + r;
      skew #(`LEFT) edge_(clk, r * (output_stationary ? hop : psum_hop), {tag, used & feeding ? a_of[from] : 8'b0}, lefts[r][0]);
    end
    for (c = 0; c < N; c = c + 1) begin : column
      wire [15:0] first = group * {14'b0, load_rows};
      wire [15:0] from = tile[31:16] + first * tile[79:64] + c;
      wire [7:0] w0 = c < tile[79:64] ? b_of[from] : 8'b0;
      wire [7:0] w1 = c < tile[79:64] & first + 1 < tile[63:48] ? b_of[from + tile[79:64]] : 8'b0;
      wire [7:0] b = c < n & feeding ? b_of[b_at + step * n + c] : 8'b0;
      skew #(`TOP) edge_(clk, c * hop, output_stationary ? {14'b0, b} : {load_now, first[4:0], w1, w0}, tops[0][c]);
      assign psums[0][c] = 0;
      wire [`PSUM-1:0] out = psums[rows][c];
      wire on = out[32 + `TAG_VALID] & !output_stationary & c < out[32 + 26 -: 5];
      accumulator #(65536) bank(clk, cycle, on, out[32 + `TAG_ADD], out[32 +: 16], out[32 +: 16], c, out[31:0]);
    end
    for (r = 0; r < N; r = r + 1) begin : line
      for (c = 0; c < N; c = c + 1) begin : cell_
        cell_of_array one(clk, cycle, r, c, output_stationary, shadow, load_rows, hop, registers,
                                  lefts[r][c], lefts[r][c+1], tops[r][c], tops[r+1][c], psums[r][c], psums[r+1][c]);
      end
    end
  endgenerate
endmodule
