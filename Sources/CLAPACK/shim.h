// The two routines of LAPACK that Analysis calls, declared here so that any LAPACK will do,
// whatever its headers are named. Fortran passes everything by reference; integers are 32 bits
// wide.
#pragma once

// Singular value decomposition by divide and conquer. jobz 'N' asks for the singular values alone.
void sgesdd_(const char *jobz, const int *m, const int *n, float *a, const int *lda, float *s, float *u, const int *ldu,
             float *vt, const int *ldvt, float *work, const int *lwork, int *iwork, int *info);
void dgesdd_(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s, double *u, const int *ldu,
             double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info);
