# gnuplot -e "data='docs/family.tsv'; out='docs/family.svg'" Benchmarks/family.gnuplot
# Four columns a kind: decoding and first token, as measured and as the card has them.
set terminal svg size 900,420 font "sans-serif,12" background rgb "white"
set output out
set datafile separator tab
set datafile missing "?"
set logscale x 2
set grid lw 0.5 lc rgb "#cccccc"
set xlabel "context (thousands of tokens)"
set key outside bottom center horizontal
names = "Mamba-2 GDN GKA BMF SWA"
array colours[5] = [0x4269d0, 0xefb118, 0xff725c, 0x3ca951, 0x9c6b4e]
set multiplot layout 1,2
set ylabel "decoding, dense = 1"
plot for [i=1:5] data using 1:(column(4*i+2)) with linespoints lw 2 pt 7 ps 0.5 lc rgb colours[i] title word(names,i), \
     for [i=1:5] data using 1:(column(4*i+4)) with points pt 6 lc rgb colours[i] notitle
set ylabel "time to the first token, dense = 1"
plot for [i=1:5] data using 1:(column(4*i+3)) with linespoints lw 2 pt 7 ps 0.5 lc rgb colours[i] title word(names,i), \
     for [i=1:5] data using 1:(column(4*i+5)) with points pt 6 lc rgb colours[i] notitle
unset multiplot
