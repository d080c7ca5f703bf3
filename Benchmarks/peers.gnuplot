# gnuplot -e "data='docs/peers-NAME.tsv'; out='docs/peers-NAME.svg'" Benchmarks/peers.gnuplot
set terminal svg size 900,420 font "sans-serif,12" background rgb "white"
set output out
set datafile separator tab
set datafile missing "?"
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.9 border -1
set boxwidth 0.95
set yrange [0:*]
set ylabel "speed, Duality = 1"
set grid y lw 0.5 lc rgb "#cccccc"
set xtics rotate by -25 scale 0
set key outside top center horizontal
plot data using 2:xtic(1) title "Duality" lc rgb "#4269d0", \
     '' using 3 title "OpenVINO, best setting" lc rgb "#3ca951", \
     '' using 4 title "ik\\_llama.cpp" lc rgb "#efb118", \
     '' using 5 title "llama.cpp" lc rgb "#ff725c"
