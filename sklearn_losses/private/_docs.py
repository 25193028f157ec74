"""The parts of the private estimators' docstrings that they share."""

SHARED = {
    "private_parameters": """\
    mechanism : {"sgd", "output", "objective"}, default="sgd"
        What is made noisy:

        - "sgd": the steps of a descent, on gradients that are clipped sample by sample [1]_; any
          loss, convex or not;
        - "output": the minimum [2]_; losses of bounded slope and curvature, in a table of proven
          constants (an error names them);
        - "objective": the objective, by a random linear term [2]_ [3]_ [4]_; the same losses, and
          one raw prediction a sample.

        The last two need public bounds of the features, penalise the intercept too, and solve to a
        public tolerance that is part of the sensitivity.
    epsilon : float or None, default=1.0
        The most that may be spent; in (0, inf). None where `noise_multiplier` is set.
    delta : float or None, default=None
        In (0, 1); 0 too with "output" and "objective", which is pure differential privacy. None:
        ``n_samples**-1.1``.
    noise_multiplier : float or None, default=None
        Of "sgd": the standard deviation of the noise beside `clip_norm`, in (0, inf); `epsilon_`
        is then what it spends. None: the least noise that spends at most `epsilon`.
    accountant : {"rdp", "pld"}, default="rdp"
        Of "sgd": what finds the one from the other. "rdp": Renyi's divergences of the sampled
        Gaussian mechanism [5]_, converted as in [6]_; it can only be too strict. "pld": numerical
        convolution of the privacy loss, a little tighter, by the library dp-accounting, which must
        be installed.
    alpha : float or "auto", default="auto"
        Strength of the L2 penalty ``alpha * ||w||^2 / 2`` on the weights of the scaled features; in
        [0, inf), for "output" and "objective" (0, inf). There the noise falls as it grows. "auto":
        0 for "sgd"; else what balances penalty and noise, by public numbers, for weights of norm 30
        (for regression 5).
    fit_intercept : bool, default=True
        Whether there is an intercept.
    feature_bounds : (low, high) or None, default=None
        What is known of the features without looking: numbers, or arrays of shape (n_features,).
        Training samples are clipped to it, and each feature is scaled to [-1, 1] (without
        centring where X is sparse or there is no intercept).
    data_norm : float or None, default=None
        The largest Euclidean norm of a row (scaled by `feature_bounds` where there are any); in (0,
        inf). Training samples are clipped to it, and rows divided by it. None: the root of the
        number of features where there are bounds; else rows are as they are, which only "sgd" can
        bear, and only where they are about 1 in size does it learn much.
    n_samples : int or None, default=None
        The public number of samples, which sums are divided by and sampling goes by; in [1, inf).
        None: that of X, which is then taken as public.
    clip_norm : float or None, default=None
        Of "sgd": the most that a sample's gradient may have in norm (its derivative by the raw
        prediction, times its scaled row with the constant feature); in (0, inf). None: the loss's
        largest derivative where the fit starts, which is public; 1 where nothing is known of y.
    batch_size : int, default=256
        Of "sgd": the expected size of a batch, in which each sample is with the same probability,
        independently of all others; in [1, inf).
    max_iter : int, default=50
        Of "sgd": epochs, in [1, inf): ``ceil(max_iter * n_samples / batch_size)`` steps, all of
        which are made.
    learning_rate : float or "auto", default="auto"
        Of "sgd": the length of a step whose batch agrees on a direction, in units of the scaled
        features; in (0, inf). "auto": from the number of steps and the noise, for weights of norm
        30.
    average : bool, default=True
        Of "sgd": whether the weights are averages over the second half of the steps, which costs
        no privacy.""",
    "private_attributes": """\
    epsilon_, delta_ : float
        What this fit has spent.
    noise_multiplier_ : float
        The noise beside the sensitivity: its standard deviation, or for ``delta=0`` its scale.
    n_steps_ : int
        Steps of "sgd"; else 1.
    n_iter_ : int
        Epochs of "sgd"; else 1.
    alpha_ : float
        The strength of the penalty; above a number given as `alpha` where "objective" needs more
        of it.
    sampling_rate_, clip_norm_, learning_rate_ : float
        Of "sgd".
    sensitivity_ : float
        Of "output" and "objective": the most that one sample changes, in the scaled features.
    loss_ : Loss
        The loss that was minimised.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has them.""",
    "private_notes": """\
    What is promised: the weights are (epsilon, delta)-differentially private. The neighbours of a
    data set lack one of its samples, or have one more. (Where one is *replaced* the cost is that of
    two: epsilon doubles.)

    What is taken as public: the number of samples, the names and number of the features, the list
    of classes, and every parameter. Parameters that were chosen by looking at the data are not
    covered, and each fit of a search or a cross-validation spends its own epsilon: they add up.
    Nothing else is learned from the data: no means, scales, starts or stopping; parameters such as
    ``HuberLoss("auto")``, that would be, are refused. An error about X or y (NaN, a target outside
    the loss's domain) tells something about them, and is for the owner of the data alone.

    There is no `random_state`. Noise that can be repeated can be subtracted: who knows or guesses a
    seed has the weights without noise. All random bits are the operating system's.

    There is no `sample_weight`: a sample of weight 2 would be two persons, of whom one is promised
    privacy.""",
    "private_references": """\
    .. [1] Abadi, M. et al. (2016). Deep learning with differential privacy. CCS.
    .. [2] Chaudhuri, K., Monteleoni, C. and Sarwate, A. D. (2011). Differentially private empirical
       risk minimization. Journal of Machine Learning Research 12, 1069-1109.
    .. [3] Kifer, D., Smith, A. and Thakurta, A. (2012). Private convex empirical risk minimization
       and high-dimensional regression. COLT.
    .. [4] Redberg, R., Koskela, A. and Wang, Y.-X. (2023). Improving the privacy and practicality
       of objective perturbation for differentially private linear learners. NeurIPS.
    .. [5] Mironov, I., Talwar, K. and Zhang, L. (2019). Renyi differential privacy of the sampled
       Gaussian mechanism. arXiv:1908.10530.
    .. [6] Canonne, C. L., Kamath, G. and Steinke, T. (2020). The discrete Gaussian for differential
       privacy. NeurIPS.""",
}
