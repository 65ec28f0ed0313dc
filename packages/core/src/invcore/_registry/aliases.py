"""The words of other libraries and of the fields, for what is called otherwise here.

A lookup suggests these, and never resolves them: a script keeps one spelling. DeepInverse, SigPy, ODL, SCICO,
ASTRA, scikit-image and BART were read for it. Case, ``_`` and ``-`` do not matter, nor an ending such as
``Prior``, ``Operator`` or ``Norm``; names of our own classes are found without being listed here.
"""

ALIASES: dict[str, dict[str, str]] = {
    "operator": {
        "convolution": (
            "blur deblur deblurring gaussian_blur blur_fft psf convolve circular_convolve deconvolution"
        ),
        "kernel_convolution": "blind_deconvolution blind_blur",
        "mask": "inpainting sampling subsampling diagonal multiply pointwise",
        "downsample": "super_resolution downsampling decimation decimate",
        "upsample": "interpolation interpolate resize upsampling",
        "imresize": "resize bicubic imresize_matlab downsampling_matlab rescale",
        "nufft": "nfft nudft nonuniform_fft nonuniform_fourier non_cartesian finufft",
        "warp": "grid_sample remap affine rotate rotation interpolate motion registration",
        "symmetry": "flip rotate90 rot90 roll shift reflect circshift",
        "svd": "singular_value_decomposition decomposable decomposable_physics",
        "compressed_sensing": "cs random_matrix gaussian_matrix gaussian_random",
        "matrix": "matmul mat_mul matrix_multiplication dense",
        "differences": "gradient grad finite_difference finite_differences first_derivative",
        "fft": "fft2 fftn dft fourier",
        "wavelet": "dwt wavedec wavelets",
        "undecimated_wavelet": "swt uwt stationary_wavelet",
        "hadamard": "walsh walsh_hadamard wht single_pixel single_pixel_camera",
        "demosaic": "bayer demosaicing",
        "decolorize": "colorization grayscale rgb2gray",
        "channel_matrix": "hyperspectral_unmixing unmixing spectral_mixing",
        "mri.fourier": "fourier mri cartesian_mri single_coil",
        "mri.sense": "multi_coil multi_coil_mri parallel_mri",
        "tomography.xray": (
            "radon ray projector projection forward_projection parallel_beam fan_beam cone_beam ct tomography"
        ),
        "tomography.fbp": "iradon inverse_radon filtered_backprojection filtered_back_projection fdk",
        "tomography.pet": "emission",
        "radio.interferometer": "nfft interferometry radio_interferometry visibilities",
        "lidar.tcspc": "single_photon_lidar spad photon_counting",
    },
    "noise": {
        "gaussian": "awgn white normal additive_gaussian",
        "poisson": "shot photon",
        "gamma": "speckle",
        "salt_pepper": "impulse salt_and_pepper",
        "quantize": "quantization",
        "saturate": "clip clipping saturation",
        "rician": "rice",
        "none": "zero no",
    },
    "fidelity": {
        "least_squares": "l2 squared_l2 l2_squared sum_of_squares mse gaussian",
        "weighted_least_squares": "weighted_l2 wls",
        "poisson_kl": "poisson kl kullback_leibler poisson_likelihood poisson_nll",
        "l1": "laplace mae",
        "l2_ball": "indicator_l2 indicator_ball",
        "amplitude": "phase_retrieval amplitude_loss",
        "student_t": "cauchy",
    },
    "prior": {
        "tv": "total_variation isotropic_tv anisotropic_tv tvl2",
        "tgv2": "tgv total_generalized_variation",
        "tikhonov": "l2 ridge squared_l2 l2_squared",
        "l1": "sparsity lasso soft_threshold",
        "lp": "l0 l_half",
        "simplex": "probability_simplex indicator_simplex sum_to_one",
        "nonnegative": "non_negativity positivity nonnegative_indicator indicator_nonnegative",
        "box": "box_constraint bounds indicator_box",
        "nuclear": "low_rank",
        "group_l12": "l21 l12 group_sparsity group_lasso",
        "pnp": "plug_and_play denoiser",
        "red": "regularization_by_denoising",
        "restoration": "drp sharp deep_restoration_prior",
        "snore": "stochastic_denoising_regularization",
        "hessian_schatten": "hessian hessian_nuclear",
        "relative_difference": "rdp",
        "radio.entropy": "maximum_entropy mem",
    },
    "solver": {
        "blind_alternating": "blind_deconvolution alternating_minimization joint_map blind",
        "blind_richardson_lucy": "blind_rl blind_lucy",
        "marginal_likelihood": "evidence empirical_bayes variational_bayes blind_em",
        "variable_projection": "varpro separable_least_squares",
        "richardson_lucy": "mlem em lucy rl expectation_maximization",
        "osem": "ordered_subsets",
        "chambolle_pock": "pdhg pdhgm primal_dual primal_dual_hybrid_gradient cp",
        "condat_vu": "primal_dual vu_condat",
        "pgd": (
            "ista pgm forward_backward proximal_gradient_descent "
            "proximal_gradient_method iterative_soft_thresholding"
        ),
        "fista": "apgm apgd accelerated_pgm accelerated_proximal_gradient nesterov",
        "douglas_rachford": "drs dr",
        "admm": "split_bregman linearized_admm lin_admm",
        "hqs": "dpir",
        "gd": "steepest_descent landweber",
        "cg": "conjugate_gradient conjugate_gradients conjgrad cg_sense",
        "cgls": "lsqr lsmr least_squares",
        "lbfgs": "bfgs quasi_newton",
        "gauss_newton": "newton",
        "levenberg_marquardt": "lm",
        "irls": "reweighted_l1 reweighted",
        "mirror_descent": "bregman",
        "sart": "os_sart",
        "scaled_pgd": "red_fixed_point preconditioned_gradient majorize_minimize",
        "saga": "sgd stochastic_gradient",
        "svrg": "sgd stochastic_gradient",
        "radio.clean": "hogbom ms_clean",
    },
    "denoiser": {
        "tv": "tv_chambolle denoise_tv denoise_tv_chambolle",
        "nlm": "nl_means denoise_nl_means",
        "bilateral": "denoise_bilateral",
        "median": "medfilt",
        "wavelet": "denoise_wavelet",
        "anscombe": "vst variance_stabilizing",
        "gaussian": "wiener wiener_filter",
        "gaussian_mixture": "gmm gmm_denoiser",
    },
    "loss": {"supervised": "sup mse l2 l1 mae"},
    "metric": {
        "psnr": "peak_signal_noise_ratio peak_signal_to_noise_ratio",
        "ssim": "structural_similarity structural_similarity_index",
        "mse": "mean_squared_error l2",
        "nrmse": "rmse normalized_root_mse relative_error",
        "mae": "mean_absolute_error l1",
        "lpips": "perceptual",
        "sam": "spectral_angle_mapper",
    },
    "dataset": {
        "tomography.shepp_logan": "phantom",
        "mri.phantom": "head_phantom",
    },
    "transform": {
        "mri.espirit": "espirit_calib ecalib coil_sensitivities sensitivity_maps",
        "tomography.remove_rings": "ring_removal remove_stripe remove_stripes destripe",
        "tomography.remove_zingers": "remove_outlier remove_outliers",
        "tomography.flat_field": "flat_field_correction",
        "tomography.minus_log": "log linearize",
    },
    "generator": {
        "sigma_uniform": "sigma noise_level",
        "mask_random": "random_mask inpainting bernoulli_mask bernoulli_splitting_mask",
        "mri.mask_random": "random_mask",
        "mri.mask_gaussian": "gaussian_mask",
        "mri.mask_equispaced": "equispaced_mask",
        "mri.mask_poisson": "poisson_mask poisson_disc poisson_disk",
    },
    "reader": {
        "mri.fastmri": "h5 hdf5",
        "mri.cfl": "bart",
        "tomography.dxchange": "h5 hdf5 nxtomo nexus",
        "tomography.tiff": "tif",
        "tomography.dicom": "dcm",
        "tomography.mat": "matlab",
        "tomography.txrm": "zeiss xradia",
        "radio.uvfits": "fits",
        "radio.oifits": "fits",
        "radio.ms": "casa measurement_set",
        "lidar.mat": "matlab",
        "lidar.ptu": "picoquant",
    },
}
"""Kind, our name, and what others call it."""

PLANNED = ("optics",)
"""Packages that the documentation speaks of and that are not written yet."""

PARAMETERS: dict[str, str] = {
    "weight": (
        "lambda lam lamda lamb lambd lambda_ lambda_reg reg regularization regularization_parameter "
        "reg_param regparam alpha mu lmbda tv_weight strength"
    ),
    "sigma": "std stdev stddev noise_std noise_level noise_sigma sd standard_deviation scale",
    "gain": "scale photons peak",
    "max_steps": (
        "max_iter maxiter max_iters niter n_iter num_iter num_iters iters iter iterations n_iterations "
        "itnlim max_iterations maxit nit n_steps num_steps steps epochs"
    ),
    "rtol": "tol tolerance eps epsilon thres_conv stop_tol conv_crit",
    "step_size": "stepsize step lr alpha tau gamma",
    "prior": "regularizer regulariser proxg reg penalty g",
    "fidelity": "data_fidelity loss f datafit",
    "kernel": "filter psf point_spread_function h",
    "mask": "pattern sampling_mask weights",
    "domain": "shape img_size image_size ishape input_shape dims dom im_size",
    "matrix": "A mat",
    "maps": "mps coil_maps sens sensitivities csm smaps sensitivity_maps",
    "wavelet": "wv wave_name wavelet_name",
    "denoiser": "model network net",
    "operator": "A physics forward_operator op",
    "angles": "theta thetas angle",
    "data_range": "max_pixel drange max_val",
}
"""Our names of parameters, and what others call them."""
