# gnuplot -e "data='forms.tsv'; out='../docs/forms-cost.svg'" Benchmarks/forms.gnuplot
set terminal svg size 720,440 font "sans-serif,13" background rgb "white"
set output out
set datafile separator tab
set datafile missing "-"
set logscale xy
set xlabel "sequence length L (tokens)"
set ylabel "seconds, one head, P = N = 128, float64"
set xrange [400:20000]
set xtics (512, 1024, 2048, 4096, 8192, 16384)
set grid lw 0.5 lc rgb "#cccccc"
set key top left
set style data linespoints
plot data using 1:2 title "recurrent" lw 2 pt 7 lc rgb "#4269d0", \
     data using 1:3 title "chunked, Q = 64" lw 2 pt 7 lc rgb "#3ca951", \
     data using 1:4 title "chunked, Q = 256" lw 2 pt 7 lc rgb "#efb118", \
     data using 1:5 title "quadratic" lw 2 pt 7 lc rgb "#ff725c", \
     data using 1:6 title "associative, leaves of 16" lw 2 pt 7 lc rgb "#a463f2", \
     data using 1:7 title "convolution, term by term" lw 2 pt 7 lc rgb "#9c6b4e"
