"""The stages of a fit with a `LossSchedule`: requests that differ in the loss."""

from dataclasses import replace

from sklearn_losses._solvers import ONE_SAMPLE, choose_descent
from sklearn_losses.schedules import LossSchedule

# What a stage shares with the last one, in which its weights are to mean the same.
SHARED = ("task", "is_multiclass", "n_classes")


def stages_of(estimator, request):
    """The requests of a fit, one a stage; the last is the one given.

    Parameters
    ----------
    estimator : BaseSGD
    request : Request
        Whose loss has numbers alone.
    """
    schedule = estimator.loss
    if not isinstance(schedule, LossSchedule):
        return [request]
    return [*(_stage(request, loss) for loss in schedule._before(request.loss)), request]


def _stage(request, loss):
    """The request with another loss."""
    last = request.loss
    for name in SHARED:
        if getattr(loss, name) != getattr(last, name):
            raise ValueError(
                f"LossSchedule: its stages must share the last one's {name}: {loss!r} has "
                f"{getattr(loss, name)!r}, {last!r} has {getattr(last, name)!r}"
            )
    if len(loss._members()) != len(last._members()):
        raise ValueError(
            f"LossSchedule: its stages must be for as many outputs as the last: {loss!r} is for "
            f"{len(loss._members())}, {last!r} for {len(last._members())}"
        )
    settings = replace(
        request.settings, smooth=all(member.differentiable for member in loss._members())
    )
    if not (loss.reads_target or loss.is_multiclass):
        for data in request.datas:
            if data.target != "codes":
                loss._members()[0]._check_y(data.y.ravel())
    if choose_descent(loss, settings, request.kind is ONE_SAMPLE) is not request.kind:
        raise ValueError(f"LossSchedule: {loss!r} needs another solver than {last!r}")

    def told(datas):
        return datas and tuple(replace(data, losses=_minimised(data, last, loss)) for data in datas)

    return replace(
        request,
        loss=loss,
        settings=settings,
        datas=told(request.datas),
        validations=told(request.validations),
    )


def _minimised(data, last, loss):
    """What the data's losses are with another loss: its members, or its heads."""
    if type(data.losses[0]) is type(last):
        return loss._members()
    return [loss._heads()]


def going_on_from(request, shown, n_iter):
    """The request from where the stage before ended, with the epochs that are left."""
    settings = replace(request.settings, max_iter=request.settings.max_iter - n_iter)
    return replace(request, start=(shown["coef_"], shown["intercept_"]), settings=settings)


def with_share(request, left):
    """The request with its share of the epochs that are left for so many stages."""
    share = request.settings.max_iter // left
    return replace(request, settings=replace(request.settings, max_iter=share))
