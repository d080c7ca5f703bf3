// FFTW 3 in double (fftw_) and in single precision (fftwf_): two libraries, one header.
#include <fftw3.h>
